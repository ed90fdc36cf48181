"""`python -m experiments`: lists the studies; with a name, runs one; with `all`, what is missing of all of them."""

from __future__ import annotations

import sys

from experiments.runner import registry as suite

_HELP = """usage: python -m experiments NAME [--quick] [--out DIR] [--workers N] [--scheduler ADDRESS]
       python -m experiments all [the same options]
       python -m experiments page [--out DIR] [--page FILE]

A study runs its tasks on a pool of processes, keeps each result as soon as it is there, skips what exists, prints what was
found and keeps it for `hattriq report`. Kill it at any time and start it again. `all` runs every study, `page` writes
docs/results.md from the full runs.

studies:"""


def main(arguments: list[str]) -> int:
    """Does what the words say; the exit code."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(_HELP)
        for study in suite.STUDIES:
            print(f"  {study:<22}{suite.summary(study)}")
        return 0
    if name == "all":
        return suite.run_everything(rest)
    if name == "page":
        from experiments.runner import results_page as page

        return page.main(rest)
    if name not in suite.STUDIES:
        print(f"experiments: no study {name!r}; there are {', '.join(suite.STUDIES)}", file=sys.stderr)
        return 2
    try:
        return suite.run(name, rest)
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
