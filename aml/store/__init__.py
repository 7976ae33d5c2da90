"""The live tree of an agents' store: what lies where, reading it, and changing one locked file at a time."""
