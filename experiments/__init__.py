"""Studies as scripts: each a frozen task with a path of its own, run by `python -m experiments.NAME`."""
