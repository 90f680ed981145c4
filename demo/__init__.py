"""The provider at work: two example DAGs on a real Airflow, against the sandbox. ``python -m demo [--ui]``."""
