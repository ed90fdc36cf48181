"""Commands of the command line, one file per command: its settings and what it does."""
