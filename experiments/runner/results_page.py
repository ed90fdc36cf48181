"""Writes docs/results.md from the full runs of all studies: which question was answered where, then every section."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.runner import registry as suite
from experiments.runner.study import Study, newest_report
from hattriq_cirq.reporting.document import Section, Table, in_markdown

FOLD = 15  # rows from which on a table stays closed until it is opened
IMAGES = "images/results"

QUESTIONS = (
    ("a", True, "What does gate noise do to a map, by estimator?", ("gate_noise",)),
    ("a", True, "How much of that do mitigations take back?", ("noise_mitigation", "readout_mitigation", "best_pipeline")),
    ("b", True, "How many two-qubit gates do the compiled circuits have?", ("compiled_cost", "placement", "ancillas")),
    ("b", True, "Is there a way round controlled gates?", ("compiled_cost",)),
    ("b", False, "What does approximate state preparation save, and what does it cost?", ("approximate_encoding",)),
    ("c", True, "What is the measurement budget: circuits, steps and shots?", ("budget",)),
    ("d", True, "What do baselines other than blank change?", ("baselines",)),
    ("e", True, "What does the sign mean?", ("signs",)),
    ("f", True, "How do maps compare with classical integrated gradients?", ("classical",)),
    ("g", True, "How faithful are maps, in numbers?", ("faithfulness",)),
    ("h", False, "Do maps change when parameters or labels are randomised?", ("randomisation",)),
    ("i", False, "How does the error fall with shots, and are intervals right?", ("shot_noise",)),
    ("", True, "How accurate are the explained models?", ("accuracy",)),
    ("", False, "What do maps of the paper's kinds of data look like?", ("attribution_gallery",)),
    ("", False, "Does it work on data of one's own?", ("user_data",)),
)
"""Letter of the question, whether the reviewers asked, the question, and the studies that answer it, main one first."""

_HEAD = """# What the studies found

Written by `python -m experiments page` from the full runs of `python -m experiments all`; change the studies, not this page.

**Everything on this page was simulated.** No quantum processor was reached: circuits ran on state-vector and density-matrix
simulators, and where a processor is named, on a virtual one that Cirq makes from a published calibration. Numbers in brackets
are 95% intervals."""

_UNKNOWN = """## What is not known of the paper

The method is that of DiBrita, Han, Cho, Luo and Patel, *Amplitude-based Input Attribution in Quantum Learning via Integrated
Gradients* (arXiv 2510.02497). Not known here are its image resolutions, sample counts, ansatz and layers, accuracies, path
steps and shots. No number of the paper is reproduced or claimed on this page; all settings below are this project's own. Where
"the paper's setting" is priced, its kind of circuits is meant, one for each feature and path step, with the steps named."""


def main(arguments: Sequence[str]) -> int:
    """Writes the page and its pictures; the exit code, 1 if no study has a full report."""
    parser = argparse.ArgumentParser(prog="python -m experiments page", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies (default: %(default)s)")
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"), help="to be written (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    studies = [import_module(f"experiments.studies.{name}").STUDY for name in suite.STUDIES]
    missing = write(studies, chosen.out, chosen.page)
    if len(missing) == len(studies):
        print(f"no study has a full report in {chosen.out}; run: python -m experiments all --out {chosen.out}")
        return 1
    print(
        f"wrote {chosen.page} from {len(studies) - len(missing)} studies" + (f"; not run: {', '.join(missing)}" * bool(missing))
    )
    return 0


def write(studies: Sequence[Study[Any]], root: Path, page: Path) -> list[str]:
    """Writes the page, and its pictures beside it, over what an earlier run of this wrote.

    Args:
        studies: in the order of the page.
        root: the folder of results of all studies.
        page: the file; nothing is written where no study has a full report.

    Returns:
        The names of the studies without a full report.
    """
    reports = {study.name: newest_report(root, study.name, "full") for study in studies}
    sections = {name: Section.load(folder) for name, folder in reports.items() if folder is not None}
    missing = [name for name in reports if name not in sections]
    if not sections:
        return missing
    records = [record for study in studies if study.name in sections for record in _records(study, root)]
    parts = [_HEAD, _made(sections, records, missing), _answers(sections, set(reports)), _UNKNOWN]
    parts += [_chapter(name, section) for name, section in sections.items()]
    images = page.parent / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    for name in reports:
        for old in images.glob(f"{name}-*.png"):
            old.unlink()
    for name, section in sections.items():
        for picture in section.pictures:
            (images / f"{name}-{picture.name}.png").write_bytes(picture.png)
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return missing


def wall_seconds(records: Iterable[Mapping[str, Any]]) -> float:
    """How long tasks ran, idle times between them left out: the length of the union of their intervals.

    Args:
        records: each with `seconds` and, under `provenance`, the `created_utc` of its end.
    """
    ends = [(datetime.fromisoformat(each["provenance"]["created_utc"]).timestamp(), each["seconds"]) for each in records]
    total, until = 0.0, float("-inf")
    for start, end in sorted((end - seconds, end) for end, seconds in ends):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _records(study: Study[Any], root: Path) -> list[Mapping[str, Any]]:
    """What is kept of the tasks of a full run."""
    paths = (study.path(task, root) for task in study.tasks(False))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def _made(sections: Mapping[str, Section], records: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> str:
    commits = sorted({record["provenance"]["commit"] for record in records})
    changed = " (`+`: with files that differed from it)" if any(commit.endswith("+") for commit in commits) else ""
    lines = [
        f"The {len(sections)} studies ran {len(records)} tasks: {sum(record['seconds'] for record in records) / 60:.0f} "
        f"core-minutes of processor time, in at least {wall_seconds(records) / 60:.0f} minutes of wall time (by when tasks "
        f"ended and how long they computed), at {'commits' if len(commits) > 1 else 'commit'} "
        f"{', '.join(f'`{commit}`' for commit in commits) or 'unknown'}{changed}."
    ]
    if missing:
        lines.append(f"Not run: {', '.join(missing)}.")
    return "\n\n".join(lines)


def _answers(sections: Mapping[str, Section], known: set[str]) -> str:
    """The table of questions, each with the section that answers it."""
    rows = []
    for letter, reviewers, question, names in QUESTIONS:
        asked = ", ".join([f"question {letter}"] * bool(letter) + ["reviewers"] * reviewers)
        there = [name for name in names if name in sections]
        links = ", ".join(f"[{sections[name].title}](#{name})" for name in there)
        gone = ", ".join(f"{name} (not run)" for name in names if name not in sections and name in known)
        first = "".join(sections[names[0]].findings[:1]) if names[0] in sections else ""
        rows.append((question, asked, ", ".join(filter(None, (links, gone))), first))
    scale = "[Speed](../README.md): `make benchmarks`, timed beside its peers"
    rows.append(("How do time and memory grow?", "question j", scale, ""))
    return (
        "## Which question is answered where\n\n"
        + Table("", ("question", "asked by", "answer", "first finding"), tuple(rows)).markdown()
    )


def _chapter(name: str, section: Section) -> str:
    """A study on the page; its anchor is its name."""
    source = section.provenance
    origin = ", ".join(f"{what} {source[what]}" for what in ("tasks", "core-minutes", "commits") if what in source)
    text = section.markdown(f"{IMAGES}/{name}-", fold=FOLD)
    return f'<a id="{name}"></a>\n\n{text}' + (
        f"\nFrom `python -m experiments {name}`: {in_markdown(origin)}." if origin else ""
    )
