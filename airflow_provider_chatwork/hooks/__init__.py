"""The connection to Chatwork."""
