"""Commands that are killed or asked to end at random moments: the same command again ends in the same results."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import repeated
import tiny_study
from command_line import run
from interrupted import results
from repeated import run_until

from hattriq_cirq.compilation.snapshot import find_snapshot

KILLS = 25
SEED = 20261128
COMMANDS = {
    "train": "train digits:pair=0/1 --epochs 60 --out {out}/run",
    "attribute": "attribute {home}/bars --data bars_and_stripes --out {out}/run",
    "counted": "attribute {home}/bars --data bars_and_stripes --inputs test:0:3 --estimator hadamard --engine cirq "
    "--shots 1600 --out {out}/run",
    "mitigated": "attribute {home}/bars --data bars_and_stripes --inputs test:0:1 --estimator resolved "
    "--engine virtual:willow_pink --mitigate zne,twirl,readout --out {out}/run",
    "learn": "learn {home}/bars --engine virtual:{home}/willow.json --shots 20000 --probes 60 --mitigate damping,readout "
    "--out {out}/run",
    "calibrate": "calibrate --engine virtual:willow_pink --qubits 4_10,5_10,4_11 --shots 2000 --out {out}/readout.json",
    "report": "report {home}/bars {home}/maps --out {out}/page.html",
    "cost": "cost --qubits 1,2 --layers 1 --estimators resolved --out {out}/cost",
    "demo": "demo --quick --out {out}/demo",
    "study": "--workers 2 --out {out}/runs",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained model and maps, of which a picture is missing."""
    home = tmp_path_factory.mktemp("home")
    assert run(f"train bars_and_stripes --out {home}/bars --epochs 20 --seed 5") == 0
    assert run(f"attribute {home}/bars --data bars_and_stripes --out {home}/maps --inputs test:0:3") == 0
    (home / "maps" / "gallery.png").unlink()
    find_snapshot("willow_pink").save(home / "willow.json")
    return home


def check(command: str, home: Path, tmp_path: Path, count: int, how: signal.Signals) -> None:
    """Stop a command at random moments of its undisturbed duration, repeat it, and compare everything that it wrote.

    A command that ends before its moment is compared as well, and started again with another moment.
    """
    code = repeated.STUDY if command == "study" else repeated.HATTRIQ

    def line(folder: Path) -> str:
        folder.mkdir(exist_ok=True)
        return COMMANDS[command].format(home=home, out=folder)

    whole = run_until(line(tmp_path / "whole"), code)
    assert whole.code == 0, whole.errors
    expected, stopped, rng, seconds = results(tmp_path / "whole"), 0, np.random.default_rng(SEED), whole.seconds
    for number in range(3 * count):
        moment = rng.uniform(0, seconds)
        folder = tmp_path / str(number)
        first = run_until(line(folder), code, moment, how)
        stopped += first.code != 0
        seconds = min(seconds, first.seconds) if first.code == 0 else seconds  # a machine may be slow for a while
        again = tiny_study.STUDY.main(shlex.split(line(folder))) if command == "study" else run(line(folder))
        assert again in (0, 2), (moment, first)  # 2 refuses to overwrite what was finished
        found = {name: content for name, content in results(folder).items() if "journal.torn" not in name}
        assert found == expected, (moment, first)
        if stopped == count:
            break
    print(f"{command}: {stopped} of {number + 1} were stopped; undisturbed {whole.seconds:.2f} s")
    assert stopped == count


@pytest.fixture(autouse=True)
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orders").mkdir()
    monkeypatch.setenv(tiny_study.ORDERS, str(tmp_path / "orders"))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_killed_at_random_moments_is_finished_by_the_same_command(command: str, home: Path, tmp_path: Path) -> None:
    check(command, home, tmp_path, KILLS, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", COMMANDS)
def test_command_asked_to_end_is_finished_by_the_same_command(
    command: str, how: signal.Signals, home: Path, tmp_path: Path
) -> None:
    check(command, home, tmp_path, 3, how)
