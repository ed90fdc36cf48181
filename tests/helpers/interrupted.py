"""Commands that are stopped at a chosen call of the operating system: by an error, or as `kill -9` stops them."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

WRITING = ("open", "write", "fsync", "link", "mkdir", "rename", "replace", "ftruncate")
REMOVING = ("unlink", "rmdir")


class Calls:
    """Counter of calls; the chosen one is not made, an action takes its place."""

    def __init__(self, chosen: int, action: Callable[[], None]) -> None:
        self.count = 0
        self.chosen = chosen
        self.action = action

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.chosen:
                self.action()
            return function(*arguments, **options)

        return counted


@contextmanager
def at_call(chosen: int, action: Callable[[], None], names: tuple[str, ...]) -> Iterator[Calls]:
    """Perform an action at the chosen call, from 1, of any of these functions of `os`."""
    calls = Calls(chosen, action)
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch.object(os, name, calls.counting(getattr(os, name))))
        yield calls


def failing(number: int) -> Callable[[], None]:
    """Return an action that raises an OSError, such as that of a full disk."""

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return fail


def killed_at_call(chosen: int, command: Callable[[], object]) -> bool:
    """Run a command in a fork of this process that kills itself at a call; return true if it did not get so far."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with at_call(chosen, lambda: os.kill(os.getpid(), signal.SIGKILL), (*WRITING, *REMOVING)):
                command()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


def results(root: Path) -> dict[str, Any]:
    """Return the contents of all files below a folder by name, hidden ones included, without times and the path of it."""
    names = {file: re.sub(r"report-full-\w+", "report", str(file.relative_to(root))) for file in sorted(root.rglob("*"))}
    return {name: _content(file, str(root)) for file, name in names.items() if file.is_file()}


def _content(file: Path, root: str) -> Any:
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            return {name: arrays[name].tolist() for name in arrays.files if name != "meta"}
    if file.suffix == ".json":
        return _without_times(json.loads(file.read_text(encoding="utf-8").replace(root, "")))
    if file.name in ("training.png", "journal.jsonl", "hattriq.log") or file.suffix == ".html":  # they show times
        return None
    return file.read_bytes()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        timed = ("provenance", "seconds", "id", "calibration_id", "taken_utc")  # an id of a calibration depends on its time
        return {name: _without_times(each) for name, each in value.items() if name not in timed}
    return value
