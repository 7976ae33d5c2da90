"""What makes removal reversible: run journal, archives, loss budget, undo, recovery after a crash."""
