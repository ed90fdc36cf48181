"""The longest silences of a command on a watched terminal, and what was shown last before each.

    python tests/helpers/silence.py [--above SECONDS] COMMAND ...

Times are those of this machine as it is, so that a loaded machine shows longer silences; tests do not depend on them.
"""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import termios
import time
from dataclasses import dataclass

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Silence:
    """Time without any output of a command.

    Args:
        seconds: Length.
        begin: Time since the start of the command, in seconds.
        after: Last line that was shown before.
    """

    seconds: float
    begin: float
    after: str


def watch(command: list[str]) -> tuple[int, str, list[Silence]]:
    """Run a command on a terminal of its own; return its exit code, its output and its silences, the longest first."""
    pid, terminal = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (40, 120))  # bars of no width would show nothing
        os.execvp(command[0], command)
    began = last = time.monotonic()
    silences, output = [], b""
    while select.select([terminal], [], [], 600)[0]:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # the terminal was closed by the end of the command
            block = b""
        now = time.monotonic()
        silences.append(Silence(now - last, last - began, _last_line(output)))
        last, output = now, output + block
        if not block:
            break
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, output.decode(errors="replace"), sorted(silences, key=lambda silence: -silence.seconds)


def _last_line(output: bytes) -> str:
    lines = re.split(r"[\r\n]+", _CONTROL.sub("", output[-4000:].decode(errors="replace")))
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:100]


def main(words: list[str]) -> int:
    """Print the output of a command and its silences above a number of seconds."""
    above = 1.0
    if words[:1] == ["--above"]:
        above, words = float(words[1]), words[2:]
    code, output, silences = watch(words)
    print(*(line.rsplit("\r", 1)[-1] for line in output.replace("\r\n", "\n").split("\n")), sep="\n")
    for silence in silences:
        if silence.seconds > above:
            print(f"silent for {silence.seconds:5.1f} s from {silence.begin:5.1f} s, after: {silence.after or '(nothing)'}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
