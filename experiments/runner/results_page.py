"""The page docs/results.md, written from the full runs of all studies: a table of questions, then every section."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.runner import registry
from experiments.runner.study import ResultRecord, Study, newest_report, read_record
from hattriq_cirq.foundation.files import replace
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.reporting.document import Section, Table, in_markdown

FOLD = 15  # tables of this many rows or more are folded until a reader opens them
IMAGES = "images/results"

#: Questions, each with the studies that answer it, the main one first.
QUESTIONS = (
    ("What does gate noise do to a map, by estimator?", ("gate_noise",)),
    ("How much of that do mitigations correct?", ("noise_mitigation", "readout_mitigation", "best_pipeline", "mitigation")),
    ("Do maps and their intervals hold under noise, and on circuits, that nothing was tuned on?", ("unseen_noise",)),
    ("How many two-qubit gates do the compiled circuits have?", ("compiled_cost", "placement", "ancillas")),
    ("Is there a way round controlled gates?", ("compiled_cost",)),
    ("What does approximate state preparation save, and what does it cost?", ("approximate_encoding",)),
    ("How accurate are maps on a processor at n = 6, 8 and 10?", ("learned",)),
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
    ("Does it work on data of one's own?", ("user_data",)),
)

_HEAD = """# Results of the studies

Written by `python -m experiments page` from the full runs of `python -m experiments all`; change the studies, not this page.

**Everything on this page was simulated.** No quantum processor was reached: circuits ran on state-vector and density-matrix
simulators, and where a processor is named, on a virtual one that Cirq makes from a published calibration. Numbers in brackets
are 95% intervals."""

_UNKNOWN = """## Unknown settings of the paper

The method is that of DiBrita, Han, Cho, Luo and Patel, *Amplitude-based Input Attribution in Quantum Learning via Integrated
Gradients* (arXiv 2510.02497). Not known here are its image resolutions, sample counts, ansatz and layers, accuracies, path
steps and shots. No number of the paper is reproduced or claimed on this page; all settings below are this project's own. Where
"the paper's setting" is priced, its kind of circuits is meant, one for each feature and path step, with the steps named."""


def main(arguments: Sequence[str]) -> int:
    """Write the page and its pictures; return the exit code, 1 if no study has a full report."""
    parser = argparse.ArgumentParser(prog="python -m experiments page", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies (default: %(default)s)")
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"), help="file to write (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    studies = [registry.study(name) for name in registry.STUDIES]
    missing = write(studies, chosen.out, chosen.page)
    if len(missing) == len(studies):
        print(f"no study has a full report in {chosen.out}; run: python -m experiments all --out {chosen.out}")
        return 1
    print(
        f"wrote {chosen.page} from {quantity(len(studies) - len(missing), 'study', 'studies')}"
        + (f"; not run: {', '.join(missing)}" * bool(missing))
    )
    return 0


def write(studies: Sequence[Study[Any]], root: Path, page: Path) -> list[str]:
    """Write the page, and its pictures beside it, replacing those of an earlier call.

    Args:
        studies: Studies in the order of the page.
        root: Folder of results of all studies.
        page: File to write; nothing is written if no study has a full report.

    Returns:
        Names of the studies without a full report.
    """
    sections: dict[str, Section] = {}
    records: list[ResultRecord] = []
    for study in studies:
        if (full := _full_run(study, root)) is not None:
            sections[study.name] = full[0]
            records += full[1]
    names = [study.name for study in studies]
    missing = [name for name in names if name not in sections]
    if not sections:
        return missing
    parts = [_HEAD, _origin(sections, records, missing), _answers(sections, set(names)), _UNKNOWN]
    parts += [_chapter(name, section) for name, section in sections.items()]
    images = page.parent / IMAGES
    present = {file for name in sections for file in images.glob(f"{name}-*.png")}
    pictures = {images / f"{name}-{each.name}.png": each.png for name, section in sections.items() for each in section.pictures}
    for file, content in pictures.items():
        replace(file, content)
    replace(page, "\n\n".join(part.strip() for part in parts) + "\n")
    for old in present - pictures.keys():
        old.unlink()
    return missing


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
    versions = sorted({record["provenance"]["versions"].get("hattriq_cirq", "unknown") for record in records})
    last = max((record["provenance"]["created_utc"][:10] for record in records), default="unknown")
    studies = "The study" if len(sections) == 1 else f"The {len(sections)} studies"
    lines = [
        f"{studies} ran {quantity(len(records), 'task')}: {sum(record['seconds'] for record in records) / 60:.0f} "
        f"core-minutes of processor time, in at least {wall_seconds(records) / 60:.0f} minutes of wall time (by when tasks "
        f"ended and how long they computed). Version {', '.join(versions) or 'unknown'} of hattriq_cirq, last result on "
        f"{last}; settings stand under each study."
    ]
    if missing:
        lines.append(f"Not run: {', '.join(missing)}.")
    return "\n\n".join(lines)


def _answers(sections: Mapping[str, Section], known: set[str]) -> str:
    """Return the table of questions, each with the sections that answer it."""
    rows = []
    for question, names in QUESTIONS:
        links = ", ".join(f"[{sections[name].title}](#{name})" for name in names if name in sections)
        absent = ", ".join(f"{name} (not run)" for name in names if name not in sections and name in known)
        first = "".join(sections[names[0]].findings[:1]) if names[0] in sections else ""
        rows.append((question, ", ".join(filter(None, (links, absent))), first))
    speed = "[Speed](../README.md): `make benchmarks`, timed beside its peers"
    rows.append(("How do time and memory grow?", speed, ""))
    return "## Questions and answers\n\n" + Table("", ("question", "answer", "first finding"), tuple(rows)).markdown()


def _chapter(name: str, section: Section) -> str:
    """Return a study's part of the page; its anchor is its name."""
    origin = ", ".join(f"{key} {section.provenance[key]}" for key in ("tasks", "core-minutes") if key in section.provenance)
    text = section.markdown(f"{IMAGES}/{name}-", fold=FOLD)
    return f'<a id="{name}"></a>\n\n{text}' + (
        f"\nFrom `python -m experiments {name}`: {in_markdown(origin)}." if origin else ""
    )
