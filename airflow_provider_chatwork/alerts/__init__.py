"""Alerts: from the context of a callback to a message in a room."""
