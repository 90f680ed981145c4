"""``python -m rehearsal storm``: many tasks of one run fail at the same time, and one message tells of all of them."""
