"""Poller."""
