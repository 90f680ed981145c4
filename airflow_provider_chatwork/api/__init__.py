"""What Chatwork is: its 32 operations, its rules and its notation, as plain values and functions.

Nothing below this package reads a clock, a file, the environment or a socket, and nothing in it knows Airflow.
"""
