"""Making a store small and fast without losing a record: garbage collection, compression."""
