"""Studies as values, the pool that runs their tasks, and helpers that several studies share."""
