"""The pipeline from a model and its inputs to an attribution measured on an engine."""
