"""`python -m experiments` lists the studies; with a name it runs one, with `all` every study."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from experiments.runner import registry
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.pulse import pulse
from hattriq_cirq.foundation.terminal import describe, exit_code, safe_streams

_HELP = """usage: python -m experiments NAME [--quick] [--out DIR] [--workers N] [--scheduler ADDRESS] [options of the study]
       python -m experiments all [the same options]
       python -m experiments page [--out DIR] [--pages DIR]
       python -m experiments PLAN.toml [--list] [--out DIR] [--workers N] [--scheduler ADDRESS]

A study runs its tasks on a pool of processes, keeps each result as soon as it is known, skips results that exist, prints its
findings and keeps them for `hattriq report`. It can be stopped at any time and started again. `all` runs every study; `page`
writes docs/results from the full runs.

studies:"""


def main(arguments: Sequence[str]) -> int:
    """Run the command given by the arguments; return the exit code. Printing never stops the work, as in `hattriq`."""
    with safe_streams() as (out, line), pulse(line):
        try:
            return exit_code(_run(arguments), out)
        except KeyboardInterrupt:
            print("experiments: interrupted; the same command goes on", file=sys.stderr)
            return 130
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            print(f"experiments: {describe(error)}", file=sys.stderr)
            return 1


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_HELP)
        print(registry.listed())
        return 0
    if arguments[0] not in (*registry.STUDIES, "all", "page") and not arguments[0].endswith(".toml"):
        known = ", ".join(registry.STUDIES)
        print(f"experiments: no study {printable(arguments[0])!r}; choose one of {known}", file=sys.stderr)
        return 2
    return registry.run_words(arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
