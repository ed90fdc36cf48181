"""Cores of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hattriq_cirq as hq
from hattriq_cirq.foundation import machine
from hattriq_cirq.foundation.machine import available_cores


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a tree of control groups in place of the machine's own."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 16, raising=False)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/job/step\n", {"job/cpu.max": "300000 100000\n", "job/step/cpu.max": "max 100000\n"}, 3),
        ("0::/job\n", {"job/cpu.max": "5000 100000\n"}, 1),
        ("4:cpu,cpuacct:/box\n", {"cpu/box/cpu.cfs_quota_us": "400000\n", "cpu/box/cpu.cfs_period_us": "100000\n"}, 4),
        ("4:cpu,cpuacct:/box\n", {"cpu/box/cpu.cfs_quota_us": "-1\n", "cpu/box/cpu.cfs_period_us": "100000\n"}, 16),
        ("nonsense\n", {"cpu.max": "rubbish\n"}, 16),
    ],
)
def test_cores_by_the_quota_of_control_groups(own: str, files: dict[str, str], cores: int, groups: Path) -> None:
    write(groups / "own", own)
    for name, text in files.items():
        write(groups / "cgroup" / name, text)
    assert available_cores() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_cores_by_the_affinity_of_the_process() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from hattriq_cirq.foundation.machine import available_cores; print(available_cores())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1"]


def test_simulator_takes_the_cores_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hattriq_cirq.execution.backends.simulators.available_cores", lambda: 3)
    assert hq.qsim().describe()["threads"] == 3
    assert hq.qsim(threads=2).describe()["threads"] == 2
