"""Arrays, files and provenance: checks and helpers that every other folder may use."""
