"""The command line: parse, call, render. The only place that prints, or reads the environment or the clock."""
