"""Studies, run by `python -m experiments NAME`; README.md says how to write one."""

import os

# set before NumPy is imported: on small products, one process per core is faster than threads
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
