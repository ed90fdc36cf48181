"""What each command does: it imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

_Settings = TypeVar("_Settings")


def train(chosen: argparse.Namespace) -> int:
    """`hattriq train`."""
    from hattriq_cirq.cli import choices, runs

    settings = _settings(runs.TrainSettings, chosen)
    runs.train_into(choices.fresh_folder(chosen.out), runs.Task.load(chosen.data), settings).print()
    return 0


def attribute(chosen: argparse.Namespace) -> int:
    """`hattriq attribute`."""
    from hattriq_cirq.cli import choices, runs

    settings = _settings(runs.AttributeSettings, chosen)
    folder = choices.run_folder(chosen.out) if settings.counts else choices.fresh_folder(chosen.out)
    runs.attribute_into(folder, choices.find_model(chosen.model), runs.Task.load(chosen.data), settings).print()
    return 0


def calibrate(chosen: argparse.Namespace) -> int:
    """`hattriq calibrate`."""
    from pathlib import Path

    from hattriq_cirq.cli.calibrate import CalibrateSettings, calibrate_into

    calibrate_into(Path(chosen.out), _settings(CalibrateSettings, chosen)).print()
    return 0


def cost(chosen: argparse.Namespace) -> int:
    """`hattriq cost`."""
    from hattriq_cirq.cli.cost import CostSettings, cost

    cost(_settings(CostSettings, chosen))
    return 0


def show(chosen: argparse.Namespace) -> int:
    """`hattriq show`."""
    from hattriq_cirq.cli.show import show

    show(chosen.path, png=chosen.png, index=chosen.input, top=chosen.top, shape=chosen.shape)
    return 0


def report(chosen: argparse.Namespace) -> int:
    """`hattriq report`."""
    from hattriq_cirq.cli.report import report

    report(chosen.runs, chosen.out, chosen.title)
    return 0


def demo(chosen: argparse.Namespace) -> int:
    """`hattriq demo`."""
    from hattriq_cirq.cli.demo import demo

    return demo(chosen.out, quick=chosen.quick)


def runs(chosen: argparse.Namespace) -> int:
    """`hattriq runs`."""
    from hattriq_cirq.cli.manage import list_runs

    list_runs(chosen.folder)
    return 0


def resume(chosen: argparse.Namespace) -> int:
    """`hattriq resume`."""
    from hattriq_cirq.cli.manage import resume

    resume(chosen.run).print()
    return 0


def cancel(chosen: argparse.Namespace) -> int:
    """`hattriq cancel`."""
    from hattriq_cirq.cli.manage import cancel

    cancel(chosen.run)
    return 0


def doctor(chosen: argparse.Namespace) -> int:
    """`hattriq doctor`."""
    from hattriq_cirq.cli.doctor import doctor

    return doctor(chosen.project, chosen.processor)


def _settings(kind: Callable[..., _Settings], chosen: argparse.Namespace) -> _Settings:
    """A command's settings, whose fields are named like its options."""
    from inspect import signature

    return kind(**{name: value for name, value in vars(chosen).items() if name in signature(kind).parameters})
