"""Schema versions: steps between them, the way from one to another, and taking a store there and back."""
