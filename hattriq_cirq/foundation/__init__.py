"""Checks of arguments, arrays, files and provenance: helpers that every other folder may use."""
