"""``python -m tests.system_tests alerts``: run every kind of callback and compare the rooms with what is expected.

Airflow's components, of any version, import ``rooms`` and ``dags``. ``cases`` and ``expected_texts.txt`` hold the
expected contents of the rooms.
"""
