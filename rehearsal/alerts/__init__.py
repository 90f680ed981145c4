"""``python -m rehearsal alerts``: every kind of callback tells a room, and the room is compared with what is expected.

What Airflow's components import, whatever its version: ``rooms`` and ``dags``. ``cases`` and ``texts.txt`` say what has
to be in the rooms.
"""
