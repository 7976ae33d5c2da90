"""One file for each step between two schema versions that follow each other: a pure function each way."""
