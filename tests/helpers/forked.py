"""Processes forked from one that has imported everything, so that each of them begins at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


def serve(action: Callable[[str], int | None]) -> None:
    """Fork a process for each line, print its id, and after the next line wait for its end and print its exit code."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code: int | None = 1
            try:
                code = action(line)
            finally:
                os._exit(code or 0)
        print(pid, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


class ForkServer:
    """Server that forks processes one after the other: a script that calls `serve`.

    Args:
        script: File of the script.
    """

    def __init__(self, script: str | Path) -> None:
        command = [sys.executable, os.fspath(script)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()

    def start(self, line: str) -> int:
        """Fork a process and return its id."""
        return self._ask(line)

    def wait(self) -> int:
        """Return the exit code of the process, negative for a signal."""
        return self._ask("wait")

    def kill(self, pid: int) -> int:
        """Kill the process and return its exit code; the server waits for it only now, so that the id is still its own."""
        os.kill(pid, signal.SIGKILL)
        return self.wait()

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())
