"""A study as a value: its tasks, the function that runs one of them, and the function that summarises their results.

A task is a frozen dataclass of primitives that decides its result. The path of the result follows from the task and from the
settings of the model that the task explains and the revision of the study; a result that exists is neither computed again nor
overwritten. Reports are functions of results and are kept beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

from experiments.runner.pool import run_all
from experiments.runner.trained_models import accuracy_table, digest, settings_digest, settings_of, unchanged_since_version_0_1
from hattriq_cirq.foundation.arrays import plain
from hattriq_cirq.foundation.files import replace, write_new
from hattriq_cirq.foundation.machine import available_cores
from hattriq_cirq.foundation.progress import track
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import read_json
from hattriq_cirq.foundation.text import aligned, quantity
from hattriq_cirq.reporting.document import FILE, Picture, Section, Table
from hattriq_cirq.reporting.html import render
from hattriq_cirq.reporting.plotting import plain_style

T = TypeVar("T")
Result = Mapping[str, Any]
PAGE = "page.html"  # page of a report, beside its file
_FORMAT = "hattriq_cirq.Result/2"
_LONGEST = 120
_LONGEST_BYTES = 240  # of a name without the end `-DIGEST.json`
_LISTED = 6
_EVERY_STUDY = {"list", "quick", "out", "workers", "scheduler"}  # options of the runner


class ResultProvenance(TypedDict):
    """Origin of a result: versions, time and commit."""

    versions: NotRequired[dict[str, str]]
    created_utc: NotRequired[str]
    commit: NotRequired[str]


class ResultRecord(TypedDict):
    """JSON file of a task's result; version 0.1 recorded no settings of the model, no revision and no digest."""

    format: Literal["hattriq_cirq.Result/1", "hattriq_cirq.Result/2"]
    study: str
    task: dict[str, Any]
    model: NotRequired[dict[str, Any] | None]
    revision: NotRequired[int]
    result: dict[str, Any]
    digest: NotRequired[str]
    seconds: float
    provenance: ResultProvenance


def read_record(path: Path) -> ResultRecord:
    """Read the file of a result.

    Raises:
        FileNotFoundError: There is no such file.
        FileError: The file is damaged; a ValueError.
    """
    record = read_json(path, ResultRecord)
    if "digest" in record and record["digest"] != digest(record["result"]):
        raise FileError(path, "the result is not the one that was written", "remove it and run again")
    return record


@dataclass(frozen=True)
class Done(Generic[T]):
    """A task with its result.

    Args:
        task: The task.
        result: Its result as JSON holds it: numbers, text, lists and dictionaries.
        seconds: Processor time on one core.
        provenance: Versions, commit and time of the computation.
    """

    task: T
    result: Result
    seconds: float
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """The part of a report that a study writes itself; the runner adds title, question, settings, accuracies and origin.

    Args:
        findings: Sentences, each number with its interval.
        tables: Tables of all numbers.
        pictures: Figures, each with a name of its own.
        not_claimed: Sentences on what the findings do not show.
        cost: Table of circuits, shots and gates.
        settings: Settings that are not fields of the task, by name.
        assumptions: Assumptions that the numbers rest on, by name.
        accuracy: Table of accuracies; None leaves it to the runner, which lists the models named by the tasks.
    """

    findings: Sequence[str]
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    not_claimed: Sequence[str] = ()
    cost: Table | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    assumptions: Mapping[str, str] = field(default_factory=dict)
    accuracy: Table | None = None


@dataclass(frozen=True)
class Study(Generic[T]):
    """A question and the way to answer it.

    Args:
        name: Name on the command line, and of the folder of results.
        text: Docstring of its module: a line with the title, a colon and a summary, then a paragraph with the question.
        tasks: Function that returns all tasks, or the few of a quick run if its argument is true. With `options` it takes the
            parsed command line as a second argument and refuses a word that it does not know or that would change nothing.
        run: Function that returns the result of one task, which JSON can hold (NumPy numbers and arrays are converted); the
            same task always gives the same result.
        summarise: Function that returns the findings of all results.
        passes: Function that says whether the results meet their targets; if not, `main` returns 1.
        options: Function that adds the study's own options to the command line.
        revision: Number to raise when `run` computes something else from the same task.
        keeps_journals: `run` takes the folder of the task's journal as a second argument, so that a task that was killed
            goes on where it stopped.
        price: Function that returns the cost of a task as cells of a table, by column, without running it.
        files: Function that returns texts to write beside the report, such as tables of numbers, by the name of the file.
        shown: Function that returns a field of a task as lists of tasks show it.

    A field of a task that is declared with `field(compare=False)`, such as the path of a file that another field knows by its
    checksum, is no part of the task's identity.
    """

    name: str
    text: str | None
    tasks: Callable[..., Sequence[T]]
    run: Callable[..., Result]
    summarise: Callable[[Sequence[Done[T]]], Findings]
    passes: Callable[[Sequence[Done[T]]], bool] = lambda done: True
    options: Callable[[argparse.ArgumentParser], None] | None = None
    revision: int = 0
    keeps_journals: bool = False
    price: Callable[[T], Mapping[str, str]] | None = None
    files: Callable[[Sequence[Done[T]]], Mapping[str, str]] = lambda done: {}
    shown: Callable[[T, str], str] = lambda task, name: str(getattr(task, name))

    @property
    def title(self) -> str:
        """Heading of the section: the first words of the text, up to a colon."""
        return (self.text or "").partition(":")[0]

    @property
    def question(self) -> str:
        """The second paragraph of the text."""
        return " ".join((self.text or "").partition("\n\n")[2].partition("\n\n")[0].split())

    def path(self, task: T, root: Path) -> Path:
        """Return the path of a task's result below the folder of all studies.

        The name holds a digest of the settings of the task's model. Results of version 0.1, whose names did not, are used
        where they exist and the settings are still those of version 0.1. A revision is in
        the name if it is above 0.
        """
        folder, settings = root / self.name / "tasks", settings_digest(task)
        named = _named(task, self.revision)
        old = folder / f"{slug(named)}.json"
        if settings is None or (unchanged_since_version_0_1(task) and old.exists()):
            return old
        return folder / f"{slug(named | {'model': settings})}.json"

    def load(self, task: T, root: Path) -> Done[T]:
        """Load the result of a task.

        Raises:
            FileNotFoundError: The task was not run.
            ValueError: The file belongs to another task or is damaged.
        """
        path = self.path(task, root)
        try:
            record = read_record(path)
            if record["study"] != self.name or record["task"] != _as_json(_fields(task)):
                raise ValueError("it is of another task")
            if "model" in record and record["model"] != settings_of(task):
                raise ValueError("it is of a model with other settings")
            return Done(task, record["result"], record["seconds"], record["provenance"])
        except ValueError as error:
            raise FileError(f"{path} is not the result of {task}", problem_of(error), "remove it and run again") from error

    def save(self, task: T, result: Result, seconds: float, root: Path) -> None:
        """Write a result with its task and origin; a result that another process has written stays."""
        record = {
            "format": _FORMAT,
            "study": self.name,
            "task": _fields(task),
            "model": settings_of(task),
            "revision": self.revision,
            "result": result,
            "digest": digest(_as_json(result)),
            "seconds": seconds,
            "provenance": asdict(Provenance.now()) | {"commit": commit()},
        }
        try:
            write_new(self.path(task, root), json.dumps(record, default=plain, allow_nan=False, indent=1) + "\n")
        except FileExistsError:
            self.load(task, root)

    def collect(self, tasks: Sequence[T], root: Path, *, workers: int = 1, scheduler: str | None = None) -> list[Done[T]]:
        """Run the tasks without a result, writing each result as soon as it is known, and load all results.

        Args:
            tasks: Distinct tasks.
            root: Folder of results of all studies.
            workers: Number of processes; 1 runs everything in this one.
            scheduler: Address of a Dask scheduler that replaces the processes.

        Returns:
            The results, in the order of the tasks.

        Raises:
            RuntimeError: Some tasks failed; the error names them, and all others have been run.
        """
        missing = [task for task in tasks if not self.path(task, root).exists()]
        save, done = partial(self.save, root=root), len(tasks) - len(missing)
        run = partial(_run_with_journal, self.run, self._journals(root), self.revision) if self.keeps_journals else self.run
        run_all(run, missing, save, done=done, name=self.name, workers=workers, scheduler=scheduler)
        return [self.load(task, root) for task in tasks]

    def journal(self, task: T, root: Path) -> Path:
        """Return the folder of a task's journal."""
        return self._journals(root) / slug(_named(task, self.revision))

    def _journals(self, root: Path) -> Path:
        return root / self.name / "journals"

    def section(self, done: Sequence[Done[T]]) -> Section:
        """Return the report of results: the study's findings with title, question, settings, accuracies and origin."""
        try:
            return self._section(done)
        except (LookupError, TypeError) as error:
            raise ValueError(
                f"the results of {self.name} are not as it wrote them: {error!r}; remove them and run again"
            ) from error

    def _section(self, done: Sequence[Done[T]]) -> Section:
        with plain_style():
            findings = self.summarise(done)
        return Section(
            title=self.title,
            question=self.question,
            findings=tuple(findings.findings),
            not_claimed=tuple(findings.not_claimed),
            accuracy=findings.accuracy or accuracy_table(done),
            tables=tuple(findings.tables),
            pictures=tuple(findings.pictures),
            cost=findings.cost,
            settings=_settings([d.task for d in done]) | dict(findings.settings),
            assumptions=findings.assumptions,
            provenance={
                "tasks": str(len(done)),
                "core-minutes": f"{sum(d.seconds for d in done) / 60:.1f}",
                "last result (UTC)": max(d.provenance["created_utc"] for d in done),
                "versions": _versions([d.provenance for d in done]),
            },
        )

    def report(self, done: Sequence[Done[T]], root: Path, scale: str) -> tuple[Section, Path]:
        """Write the report of results into a folder named by its content, unless it exists; return both."""
        section = self.section(done)
        folder = root / self.name / f"report-{scale}-{section.digest}"
        if not (folder / FILE).exists():
            section.save(folder)
        os.utime(folder)  # so that the report requested last is the newest
        return section, folder

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of the study's command line: its own options, then those of every study."""
        parser = argparse.ArgumentParser(
            prog=f"hattriq study {self.name}", allow_abbrev=False, description=f"{self.title}. {self.question}"
        )
        if self.options is not None:
            self.options(parser)
        parser.add_argument("--list", "--dry-run", action="store_true", help="print the tasks with their cost and run none")
        parser.add_argument("--quick", action="store_true", help="run a small sample, within a minute")
        parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies (default: %(default)s)")
        parser.add_argument("--workers", type=int, default=available_cores(), help="processes (default: one per core)")
        parser.add_argument(
            "--scheduler",
            metavar="ADDRESS",
            help="address of a Dask cluster of workers with one thread each, such as tcp://127.0.0.1:8786",
        )
        return parser

    def chosen_tasks(self, chosen: argparse.Namespace) -> Sequence[T]:
        """Return the tasks of a parsed command line.

        Raises:
            ValueError: A word of an option is unknown, or would change nothing.
        """
        return self.tasks(chosen.quick) if self.options is None else self.tasks(chosen.quick, chosen)

    def all_tasks(self, root: Path) -> Sequence[T]:
        """Return the tasks of the full run, without options of the study, whose results are kept below a folder."""
        return self.chosen_tasks(self.parser().parse_args(["--out", str(root)]))

    def _scale(self, chosen: argparse.Namespace) -> str:
        """Return the word for a run in the name of its report; only a full run without options answers the question."""
        defaults = vars(self.parser().parse_args([]))
        own = defaults.keys() - _EVERY_STUDY
        changed = any(getattr(chosen, name) != defaults[name] for name in own)
        return "quick" if chosen.quick else "options" if changed else "full"

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run the study from the command line, print its report and say where that is kept.

        Returns:
            0, or 1 if a target of the study is missed.
        """
        parser = self.parser()
        chosen = parser.parse_args(arguments)
        if chosen.workers < 1:
            parser.error(f"--workers {chosen.workers} must be at least 1")
        tasks = self.chosen_tasks(chosen)
        if chosen.list:
            self._print_tasks(tasks, chosen.out)
            return 0
        done = self.collect(tasks, chosen.out, workers=chosen.workers, scheduler=chosen.scheduler)
        section, folder = self.report(done, chosen.out, self._scale(chosen))
        for name, text in {**self.files(done), PAGE: render(section.title, [section])}.items():
            replace(folder / name, text)
        print(section.markdown())
        print(f"kept in {folder}: {', '.join(sorted(file.name for file in folder.iterdir()))}")
        print(
            f"open {folder / PAGE} in a browser; for several studies on one page: hattriq report FOLDER ... --out report.html"
        )
        return 0 if self.passes(done) else 1

    def _print_tasks(self, tasks: Sequence[T], root: Path) -> None:
        """Print every task: the fields in which tasks differ, its cost, and whether it has a result."""
        named = [each.name for each in fields(tasks[0]) if each.compare]  # type: ignore[arg-type]
        varying = [name for name in named if len({getattr(task, name) for task in tasks}) > 1]
        rows: list[dict[str, str]] = []
        for task in track(tasks, "price", "task"):
            state = "done" if self.path(task, root).exists() else "begun" if self.journal(task, root).exists() else "to run"
            cost = {} if self.price is None else self.price(task)
            rows.append({name: self.shown(task, name) or "none" for name in varying} | dict(cost) | {"state": state})
        print(aligned([list(rows[0]), *(list(row.values()) for row in rows)]))
        left = sum(row["state"] != "done" for row in rows)
        print(f"{quantity(len(tasks), 'task')} of {self.name}, {left} of them to run; results are kept in {root / self.name}")


def done_by(done: Sequence[Done[Any]], *names: str) -> dict[Any, list[Done[Any]]]:
    """Group tasks by the values of one of their fields, or by tuples of several, in the order of first appearance."""
    groups: dict[Any, list[Done[Any]]] = {}
    for d in done:
        groups.setdefault(attrgetter(*names)(d.task), []).append(d)
    return groups


def results_by(done: Sequence[Done[Any]], *names: str) -> dict[Any, list[Result]]:
    """Group results by fields of their tasks, as `done_by` groups the tasks."""
    return {values: [d.result for d in group] for values, group in done_by(done, *names).items()}


def newest_report(root: Path, name: str, scale: str) -> Path | None:
    """Return the folder of the study's report that was requested last, or None if there is none."""
    reports = [path.parent for path in (root / name).glob(f"report-{scale}-*/{FILE}")]
    return max(reports, key=lambda folder: folder.stat().st_mtime_ns) if reports else None


def slug(values: Mapping[str, Any]) -> str:
    """Return a file name for named values, ending in a digest if not every character could be kept."""
    text = ",".join(f"{name}={value}" for name, value in values.items())
    name = re.sub(r"[^\w=,.+-]+", "_", text)
    if name == text and len(name) <= _LONGEST and len(name.encode()) <= _LONGEST_BYTES:
        return name
    short = name[:_LONGEST].encode()[:_LONGEST_BYTES].decode(errors="ignore")
    return f"{short}-{digest(values)}"


@cache
def commit() -> str:
    """Return the git commit of this checkout, followed by `+` if files differ from it; `unknown` outside a checkout."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _fields(task: object) -> dict[str, Any]:
    identity = {each.name for each in fields(task) if each.compare}  # type: ignore[arg-type]
    return {name: value for name, value in asdict(task).items() if name in identity}  # type: ignore[call-overload]


def _named(task: object, revision: int) -> dict[str, Any]:
    return _fields(task) | ({"revision": revision} if revision else {})


def _run_with_journal(run: Callable[..., Result], folder: Path, revision: int, task: object) -> Result:
    return run(task, folder / slug(_named(task, revision)))


def _settings(tasks: Sequence[object]) -> dict[str, str]:
    """Return the values of the fields of the tasks as text, without fields that all tasks leave at their default."""
    settings = {}
    for each in fields(tasks[0]):  # type: ignore[arg-type]
        values = list(dict.fromkeys(getattr(task, each.name) for task in tasks))
        if values != [each.default] and each.metadata.get("reported", True):
            texts = ["; ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values]
            settings[each.name.replace("_", " ")] = ", ".join(texts) if len(texts) <= _LISTED else f"{len(texts)} values"
    return settings


def _versions(provenances: Sequence[Mapping[str, Any]]) -> str:
    """Return the versions of each package, and the commits, that made the results; several where results were kept."""
    names = dict.fromkeys(name for each in provenances for name in each["versions"])
    texts = [f"{name} {' and '.join(_distinct(each['versions'].get(name) for each in provenances))}" for name in names]
    commits = _distinct(each.get("commit") for each in provenances)
    return ", ".join([*texts, f"commit {' and '.join(commits)}"] if commits else texts)


def _distinct(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value is not None))


def _as_json(value: object) -> object:
    return json.loads(json.dumps(value, default=plain))
