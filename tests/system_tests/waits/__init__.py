"""``python -m tests.system_tests load``, ``restart`` and ``failover``: waits in a real triggerer, which is killed.

What Airflow's components import: ``fixtures`` and ``dags``. Needs Airflow 3.3.
"""
