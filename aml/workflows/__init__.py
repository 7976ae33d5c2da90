"""What a user means by one command. The only place that composes operations; the command line and the API call it."""
