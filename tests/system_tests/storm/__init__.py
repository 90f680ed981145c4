"""``python -m tests.system_tests storm``: 100 tasks of one run fail at once, and one message reports all of them."""
