"""A real Airflow in which every kind of callback happens. ``python -m rehearsal --help``.

What is imported by the components of that Airflow, whatever its version: ``recorder``, ``describing``, ``probing`` and
``dags``. The rest starts them and looks on, from the newest one's environment.
"""
