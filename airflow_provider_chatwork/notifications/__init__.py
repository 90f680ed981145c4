"""What tells people in Chatwork how a DAG fares."""
