"""Apache Airflow provider for Chatwork."""

__version__ = "0.1.0"
