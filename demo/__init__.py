"""A demo: two example DAGs run on a real Airflow against the sandbox. ``python -m demo [--ui]``."""
