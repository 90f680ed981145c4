"""Notifiers for callbacks."""
