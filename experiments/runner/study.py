"""The experiment as a value: a study is its tasks, a function that runs one, and one that says what all of them show.

A task is a frozen dataclass of primitives that decides its result; the result's path is a function of the task, what exists is
not run again and never overwritten. Summaries are functions of results and lie beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from experiments.runner.pool import run_all
from hattriq_cirq.foundation.arrays import plain
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.provenance import Provenance
from hattriq_cirq.reporting.document import FILE, Section

T = TypeVar("T")
Result = Mapping[str, Any]
_FORMAT = "hattriq_cirq.Result/1"
_LONGEST = 120


@dataclass(frozen=True)
class Done(Generic[T]):
    """A task with its result, as JSON gives it back: numbers, text, lists and dictionaries; seconds on one core."""

    task: T
    result: Result
    seconds: float
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Study(Generic[T]):
    """A question, and how it is answered.

    Args:
        name: of its module and its folder.
        title: of its section.
        question: what is asked, in a sentence or two.
        task: the dataclass of its tasks.
        tasks: all of them; `True` gives the few of a quick run.
        run: the result of one task, what JSON can hold (NumPy numbers and arrays turn plain); the same for the same task.
        summarise: what the results of all tasks show; title, question and provenance are filled in.
        passes: whether results are as wanted, where something was; else `main` returns 1.
    """

    name: str
    title: str
    question: str
    task: type[T]
    tasks: Callable[[bool], Sequence[T]]
    run: Callable[[T], Result]
    summarise: Callable[[Sequence[Done[T]]], Section]
    passes: Callable[[Sequence[Done[T]]], bool] = lambda done: True

    def path(self, task: T, root: Path) -> Path:
        """Where the result of a task lies below a folder."""
        return root / self.name / "tasks" / f"{slug(task)}.json"

    def load(self, task: T, root: Path) -> Done[T]:
        """The result of a task that was run.

        Raises:
            FileNotFoundError: it was not.
            ValueError: the file is another task's or damaged.
        """
        path = self.path(task, root)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["format"] != _FORMAT or record["study"] != self.name or record["task"] != _as_json(asdict(task)):  # type: ignore[call-overload]
                raise ValueError("it is of another task")
            return Done(task, record["result"], record["seconds"], record["provenance"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not the result of {task}: {error!r}; remove it and run again") from error

    def save(self, task: T, result: Result, seconds: float, root: Path) -> None:
        """Writes a result with its task and where it comes from; one that exists, of another process, stays."""
        record = {
            "format": _FORMAT,
            "study": self.name,
            "task": asdict(task),  # type: ignore[call-overload]
            "result": result,
            "seconds": seconds,
            "provenance": asdict(Provenance.now()) | {"commit": commit()},
        }
        try:
            write_new(self.path(task, root), json.dumps(record, default=plain, allow_nan=False, indent=1) + "\n")
        except FileExistsError:
            self.load(task, root)

    def collect(self, tasks: Sequence[T], root: Path, *, workers: int = 1, scheduler: str | None = None) -> list[Done[T]]:
        """Runs what is missing, each result on disk as soon as it is there, and gives all of them in order.

        Args:
            tasks: different ones.
            root: the folder of results of all studies.
            workers: processes; 1 runs everything in this one.
            scheduler: the address of a Dask scheduler in their place.

        Returns:
            The results.

        Raises:
            RuntimeError: some tasks failed, when all others are done; it says which.
        """
        missing = [task for task in tasks if not self.path(task, root).exists()]
        run_all(
            self.run,
            missing,
            lambda task, result, seconds: self.save(task, result, seconds, root),
            done=len(tasks) - len(missing),
            name=self.name,
            workers=workers,
            scheduler=scheduler,
        )
        return [self.load(task, root) for task in tasks]

    def section(self, done: Sequence[Done[T]]) -> Section:
        """What results show, with the question and where they come from."""
        made = self.summarise(done)
        origin = done[-1].provenance
        versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
        return replace(
            made,
            title=self.title,
            question=self.question,
            provenance={
                "tasks": str(len(done)),
                "core-minutes": f"{sum(d.seconds for d in done) / 60:.1f}",
                "last result (UTC)": max(d.provenance["created_utc"] for d in done),
                "commits": ", ".join(sorted({d.provenance["commit"] for d in done})),
                "versions": versions,
                **made.provenance,
            },
        )

    def report(self, done: Sequence[Done[T]], root: Path, scale: str) -> tuple[Section, Path]:
        """The section of results, and the folder it is kept in, named by its content; what exists is left as it is."""
        section = self.section(done)
        folder = root / self.name / f"report-{scale}-{section.digest}"
        if not (folder / FILE).exists():
            section.save(folder)
        os.utime(folder)  # the one that was asked for last is the newest
        return section, folder

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Runs the study from the command line, prints what it shows and says where that is kept."""
        parser = argparse.ArgumentParser(
            prog=f"python -m experiments {self.name}", description=f"{self.title}. {self.question}"
        )
        parser.add_argument("--quick", action="store_true", help="a small sample, within a minute")
        parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of all studies (default: %(default)s)")
        parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
        parser.add_argument(
            "--scheduler",
            metavar="ADDRESS",
            help="of a Dask cluster of workers with one thread each, such as tcp://127.0.0.1:8786",
        )
        chosen = parser.parse_args(arguments)
        if chosen.workers < 1:
            parser.error(f"--workers {chosen.workers} must be at least 1")
        tasks = self.tasks(chosen.quick)
        done = self.collect(tasks, chosen.out, workers=chosen.workers, scheduler=chosen.scheduler)
        section, folder = self.report(done, chosen.out, "quick" if chosen.quick else "full")
        print(section.markdown())
        print(f"kept in {folder}; for a page: hattriq report {folder} --out report.html")
        return 0 if self.passes(done) else 1


def newest_report(root: Path, name: str, scale: str) -> Path | None:
    """The report of a study that was asked for last, if there is one."""
    found = [path.parent for path in (root / name).glob(f"report-{scale}-*/{FILE}")]
    return max(found, key=lambda folder: folder.stat().st_mtime_ns) if found else None


def slug(task: object) -> str:
    """A task as the name of a file: its fields, and a digest where not every character could be kept."""
    values = asdict(task)  # type: ignore[call-overload]
    text = ",".join(f"{name}={value}" for name, value in values.items())
    name = re.sub(r"[^\w=,.+-]+", "_", text)
    if name == text and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]}"


@cache
def commit() -> str:
    """The git commit of this checkout, with `+` where files differ from it; `unknown` outside one."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _as_json(value: object) -> object:
    return json.loads(json.dumps(value, default=plain))
