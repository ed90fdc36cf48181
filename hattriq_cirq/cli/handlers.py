"""What each command does: it imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import argparse


def train(chosen: argparse.Namespace) -> int:
    """`hattriq train`."""
    from hattriq_cirq.cli import choices, runs

    settings = runs.TrainSettings(
        ansatz=chosen.ansatz,
        layers=chosen.layers,
        optimizer=chosen.optimizer,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        scale=chosen.scale,
        seed=chosen.seed,
    )
    runs.train_into(choices.fresh_folder(chosen.out), runs.Task.load(chosen.data), settings).print()
    return 0


def attribute(chosen: argparse.Namespace) -> int:
    """`hattriq attribute`."""
    from hattriq_cirq.cli import choices, runs

    settings = runs.AttributeSettings(
        inputs=chosen.inputs,
        baseline=chosen.baseline,
        form=chosen.form,
        rule=chosen.rule,
        head=chosen.head,
        precision=chosen.precision,
        estimator=chosen.estimator,
        engine=chosen.engine,
        shots=chosen.shots,
        seed=chosen.seed,
        mitigate=chosen.mitigate,
        calibration=chosen.calibration,
        max_age=chosen.max_age,
    )
    folder = choices.run_folder(chosen.out) if settings.counts else choices.fresh_folder(chosen.out)
    runs.attribute_into(folder, choices.find_model(chosen.model), runs.Task.load(chosen.data), settings).print()
    return 0


def calibrate(chosen: argparse.Namespace) -> int:
    """`hattriq calibrate`."""
    from pathlib import Path

    from hattriq_cirq.cli.calibrate import CalibrateSettings, calibrate_into

    words = {name: value for name, value in vars(chosen).items() if name not in ("command", "out")}
    calibrate_into(Path(chosen.out), CalibrateSettings(**words)).print()
    return 0


def cost(chosen: argparse.Namespace) -> int:
    """`hattriq cost`."""
    from hattriq_cirq.cli.cost import CostSettings, cost

    cost(CostSettings(**{name: value for name, value in vars(chosen).items() if name != "command"}))
    return 0


def show(chosen: argparse.Namespace) -> int:
    """`hattriq show`."""
    from hattriq_cirq.cli.show import show

    show(chosen.path, png=chosen.png, index=chosen.input, top=chosen.top, shape=chosen.shape)
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
