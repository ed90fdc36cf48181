"""Studies, run by `python -m experiments NAME`: frozen tasks, a function that runs one, and one that says what was found."""

import os

# before NumPy is imported: one process a core is faster than threads on small products
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
