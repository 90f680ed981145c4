"""What an alert says, whom it calls and where it goes."""
