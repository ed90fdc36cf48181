"""`python -m hattriq_cirq`: the command line `hattriq`, where its script is not on the path."""

from __future__ import annotations

import sys

from hattriq_cirq.cli import main

if __name__ == "__main__":
    sys.exit(main())
