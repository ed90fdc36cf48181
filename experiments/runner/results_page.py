"""The pages docs/results: a table of questions, and a page for each study.

Pages of the studies whose full runs are at hand are written anew; all others stay as they are. Each says from which version of
the library it is.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.runner import registry
from experiments.runner.study import ResultRecord, Study, newest_report, read_record
from hattriq_cirq.foundation.files import replace
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.reporting.document import Section, Table, in_markdown

FOLD = 15  # tables of this many rows or more are folded until a reader opens them
IMAGES = "images"  # folder of the pictures, beside the pages
INDEX = "index.md"

#: Questions, each with the studies that answer it, the main one first.
QUESTIONS = (
    ("What does gate noise do to a map, by estimator?", ("gate_noise",)),
    ("How much of that do mitigations correct?", ("noise_mitigation", "readout_mitigation", "best_pipeline", "mitigation")),
    ("Do maps and their intervals hold under noise, and on circuits, that nothing was tuned on?", ("unseen_noise",)),
    ("How many two-qubit gates do the compiled circuits have?", ("compiled_cost", "placement", "ancillas")),
    ("Is there a way round controlled gates?", ("compiled_cost",)),
    ("What does approximate state preparation save, and what does it cost?", ("approximate_encoding",)),
    ("How accurate are maps on a processor at n = 6, 8 and 10?", ("learned", "learned_28")),
    ("What is the measurement budget: circuits, steps and shots?", ("budget",)),
    ("What does the answer rest on: correlations, layers, pairs, and what would turn it?", ("explanations",)),
    ("What do baselines other than zero change?", ("baselines",)),
    ("What does the sign mean?", ("signs",)),
    ("How do maps compare with classical integrated gradients?", ("classical",)),
    ("How faithful are maps, in numbers?", ("faithfulness",)),
    ("Do maps change when parameters or labels are randomised?", ("randomisation",)),
    ("How does the error fall with shots, and are intervals right?", ("shot_noise",)),
    ("How accurate are the explained models?", ("accuracy",)),
    ("What do maps of the paper's kinds of data look like?", ("attribution_gallery",)),
    ("Does it work on data of one's own?", ("user_data", "classifier")),
)

_HEAD = """# Results of the studies

Written by `python -m experiments page` from full runs, as of `python -m experiments all`; change the studies, not these pages.
A call replaces the pages of the studies whose full runs are at hand and keeps all others. Each page ends with its version.

**Everything on these pages was simulated.** No quantum processor was reached: circuits ran on state-vector and density-matrix
simulators, and where a processor is named, on a virtual one that Cirq makes from a published calibration. Numbers in brackets
are 95% intervals."""

_UNKNOWN = """## Unknown settings of the paper

The method is that of DiBrita, Han, Cho, Luo and Patel, *Amplitude-based Input Attribution in Quantum Learning via Integrated
Gradients* (arXiv 2510.02497). Not known here are its image resolutions, sample counts, ansatz and layers, accuracies, path
steps and shots. No number of the paper is reproduced or claimed on these pages; all settings are this project's own. Where
"the paper's setting" is priced, its kind of circuits is meant, one for each feature and path step, with the steps named."""


@dataclass(frozen=True)
class _Chapter:
    """A study's page: its heading, its first finding and its text."""

    title: str
    finding: str
    text: str

    @classmethod
    def of(cls, name: str, section: Section) -> _Chapter:
        """Return the page of a section; its last line says what it was made from."""
        text = section.markdown(f"{IMAGES}/{name}-", level=1, fold=FOLD)
        made = f"\nFrom `python -m experiments {name}`: {in_markdown(_origin_of(section))}.\n"
        return cls(section.title, "".join(section.findings[:1]), text + made)

    @classmethod
    def kept(cls, page: Path) -> _Chapter:
        """Return a page that was written before."""
        text = page.read_text(encoding="utf-8")
        return cls(_first_line(text, "#"), _first_line(text, "-"), text)


def main(arguments: Sequence[str]) -> int:
    """Write the pages and their pictures; return the exit code, 1 if no study has a full report."""
    parser = argparse.ArgumentParser(prog="python -m experiments page", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies (default: %(default)s)")
    parser.add_argument("--pages", type=Path, default=Path("docs/results"), help="folder to write to (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    studies = [registry.study(name) for name in registry.STUDIES]
    written, missing = write(studies, chosen.out, chosen.pages)
    if not written:
        print(f"no study has a full report in {chosen.out}; run: python -m experiments all --out {chosen.out}")
        return 1
    kept = [study.name for study in studies if study.name not in (*written, *missing)]
    print(
        f"wrote {chosen.pages}: {quantity(len(written), 'page')} of full runs in {chosen.out} ({', '.join(written)})"
        + (f"; kept as they were: {', '.join(kept)}" * bool(kept))
        + (f"; not run: {', '.join(missing)}" * bool(missing))
    )
    return 0


def write(studies: Sequence[Study[Any]], root: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Write the pages and their pictures; pages and pictures of studies without a full report stay as they are.

    Args:
        studies: Studies in the order of the pages.
        root: Folder of results of all studies.
        folder: Folder to write to; nothing is written if no study has a full report.

    Returns:
        Names of the studies whose pages were written, and of those that have no page.
    """
    sections: dict[str, Section] = {}
    records: list[ResultRecord] = []
    for study in studies:
        if (full := _full_run(study, root)) is not None:
            sections[study.name] = full[0]
            records += full[1]
    names = [study.name for study in studies]
    if not sections:
        return [], names
    files = {name: folder / f"{name}.md" for name in names}
    known = {name: _Chapter.kept(file) for name, file in files.items() if name not in sections and file.exists()}
    known |= {name: _Chapter.of(name, section) for name, section in sections.items()}
    chapters = {name: known[name] for name in names if name in known}
    missing = [name for name in names if name not in chapters]
    images = folder / IMAGES
    present = {file for name in sections for file in images.glob(f"{name}-*.png")}
    pictures = {images / f"{name}-{each.name}.png": each.png for name, section in sections.items() for each in section.pictures}
    for file, content in pictures.items():
        replace(file, content)
    for name in sections:
        replace(files[name], chapters[name].text)
    parts = [_HEAD, _origin(sections, records, missing), _answers(chapters, set(names)), _UNKNOWN, _contents(chapters)]
    replace(folder / INDEX, "\n\n".join(part.strip() for part in parts) + "\n")
    for old in present - pictures.keys():
        old.unlink()
    return list(sections), missing


def wall_seconds(records: Iterable[Mapping[str, Any]]) -> float:
    """Compute the wall time of tasks without idle times between them: the length of the union of their intervals.

    Args:
        records: Records of results, each with `seconds` and, under `provenance`, the time of its end, `created_utc`.

    Returns:
        Seconds.
    """
    ends = [(datetime.fromisoformat(each["provenance"]["created_utc"]).timestamp(), each["seconds"]) for each in records]
    total, until = 0.0, float("-inf")
    for start, end in sorted((end - seconds, end) for end, seconds in ends):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _full_run(study: Study[Any], root: Path) -> tuple[Section, list[ResultRecord]] | None:
    """Return the newest report of a study's full run and the records of its tasks; None if the study was not run in full.

    Earlier versions gave the report of a run with options the same name; it has other tasks, or fewer.
    """
    folder = newest_report(root, study.name, "full")
    if folder is None:
        return None
    section = Section.load(folder)
    paths = [study.path(task, root) for task in study.all_tasks(root)]
    if not all(path.exists() for path in paths) or int(section.provenance.get("tasks", 0)) < len(paths):
        return None
    return section, [read_record(path) for path in paths]


def _origin(sections: Mapping[str, Section], records: Sequence[ResultRecord], missing: Sequence[str]) -> str:
    studies = "The study" if len(sections) == 1 else f"The {len(sections)} studies"
    minutes = f"{sum(record['seconds'] for record in records) / 60:.0f}"
    lines = [
        f"{studies} whose pages were written last ({', '.join(sections)}) ran {quantity(len(records), 'task')}: {minutes} "
        f"core-minutes of processor time, in at least {wall_seconds(records) / 60:.0f} minutes of wall time (by when tasks "
        "ended and how long they computed). Settings and versions stand under each study."
    ]
    if missing:
        lines.append(f"Not run: {', '.join(missing)}.")
    return "\n\n".join(lines)


def _answers(chapters: Mapping[str, _Chapter], known: set[str]) -> str:
    """Return the table of questions, each with the pages that answer it."""
    rows = []
    for question, names in QUESTIONS:
        links = ", ".join(f"[{chapters[name].title}]({name}.md)" for name in names if name in chapters)
        absent = ", ".join(f"{name} (not run)" for name in names if name not in chapters and name in known)
        first = chapters[names[0]].finding if names[0] in chapters else ""
        rows.append((question, ", ".join(filter(None, (links, absent))), first))
    speed = "[Speed](../speed.md): `make benchmarks`, timed beside its peers"
    rows.append(("How do time and memory grow?", speed, ""))
    return "## Questions and answers\n\n" + Table("", ("question", "answer", "first finding"), tuple(rows)).markdown()


def _contents(chapters: Iterable[str]) -> str:
    """Return the list of pages from which the documentation site makes its menu."""
    return "\n".join(["```{toctree}", ":hidden:", "", *chapters, "```"])


def _first_line(text: str, mark: str) -> str:
    """Return the first line of Markdown that begins with a mark, without the mark and escapes; an empty text without one."""
    found = re.search(rf"^{mark} (.*)$", text, re.MULTILINE)
    return re.sub(r"\\([<*~])", r"\1", found[1]) if found else ""


def _origin_of(section: Section) -> str:
    """Return what a section was made from: tasks, time, and the versions and commits of the library."""
    said = section.provenance
    words = [f"{key} {said[key]}" for key in ("tasks", "core-minutes") if key in said]
    versions = said.get("versions", "")
    own, commits = re.search(r"hattriq_cirq ([^,]+)", versions), re.search(r"commit (.+)$", versions)
    words += [f"version {own[1]}"] if own else []
    words += [f"commit {commits[1]}"] if commits else []
    last = said.get("last result (UTC)", "")
    return ", ".join([*words, f"last result on {last[:10]}"] if last else words)
