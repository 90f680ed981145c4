"""Tests in a real Airflow. ``python -m tests.system_tests --help``.

The components of the tested Airflow, of any version, import ``recording_notifier``, ``context_json``, ``airflow_probe``
and ``dags``. The other modules start the components and observe them, in the environment of the newest Airflow.
"""
