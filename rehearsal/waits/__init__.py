"""``python -m rehearsal waits``: people are waited for in a real triggerer, which is killed in the middle of it.

What Airflow's components import: ``cast`` and ``dags``. Needs Airflow 3.3.
"""
