"""Workflows that combine the whole library: models, data sets, pipelines and their corrections."""
