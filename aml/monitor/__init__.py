"""Figures about a store, checks of its health, and alerts about what they find."""
