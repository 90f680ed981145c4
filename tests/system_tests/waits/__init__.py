"""``python -m tests.system_tests waits``: waits for people in a real triggerer, which is killed in mid-wait.

What Airflow's components import: ``fixtures`` and ``dags``. Needs Airflow 3.3.
"""
