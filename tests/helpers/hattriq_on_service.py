"""`hattriq` in processes of its own, whose Google projects are those of a stand-in service.

Each line on stdin is JSON: the address of the service, the words after `hattriq`, the folder, and the files of both streams.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from unittest import mock

import cirq_google as cg
from forked import serve
from stand_in import client, connected

from hattriq_cirq.cli import main
from hattriq_cirq.execution.backends.google import google

POLL_SECONDS = 0.02
#: Modules that are imported once, before the forks.
EARLY = (
    "matplotlib.figure",
    "pandas",
    "qsimcirq",
    "seaborn",
    "sklearn.linear_model",
    "hattriq_cirq.cli.commands.attribute",
    "hattriq_cirq.cli.sections",
    "hattriq_cirq.execution.backends.virtual",
    "hattriq_cirq.models.training",
    "hattriq_cirq.pipeline.prepare",
    "hattriq_cirq.reporting.runs",
    "hattriq_cirq.workflows.learn",
)


@contextmanager
def polled_often(connect: Callable[..., cg.Engine]) -> Iterator[None]:
    """Let all projects be reached by a client, and poll them often."""
    with connected(connect), mock.patch.dict(google.__kwdefaults__ or {}, poll_seconds=POLL_SECONDS):
        yield


def command(line: str) -> int:
    """Run one command."""
    request = json.loads(line)
    os.chdir(request["folder"])
    for stream, file in ((1, request["out"]), (2, request["err"])):
        with open(file, "wb") as output:
            os.dup2(output.fileno(), stream)
    with polled_often(lambda project, **options: client(request["address"], project, **options)):
        code = main(request["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    for module in EARLY:
        import_module(module)
    serve(command)
