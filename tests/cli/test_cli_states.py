"""States of unknown amplitudes on the command line: files with the circuit that prepares them."""

from __future__ import annotations

from pathlib import Path

import cirq
import numpy as np
import pytest
from command_line import refusal, run, train_on_table

import hattriq_cirq as hq

MEASURED = "--estimator resolved --engine cirq --shots 0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model of two qubits and a state of them in every format."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home, epochs=2)
    cirq.to_json(state(), home / "state.json")
    cirq.to_json(
        state().transform_qubits(dict(zip(cirq.LineQubit.range(2), cirq.NamedQubit.range(2, prefix="q"), strict=True))),
        home / "named.json",
    )
    a, b = cirq.LineQubit.range(2)
    (home / "big.qasm").write_text(state().to_qasm(qubit_order=[a, b]))
    (home / "little.qasm").write_text(state().to_qasm(qubit_order=[b, a]))
    return home


def state() -> cirq.Circuit:
    a, b = cirq.LineQubit.range(2)
    return cirq.Circuit(cirq.ry(0.4).on(a), cirq.rx(1.1).on(b), cirq.CNOT(a, b), cirq.rz(0.7).on(b))


def line(home: Path, data: str, out: Path, options: str = MEASURED) -> str:
    return f"attribute {home}/model --data {home}/{data} --out {out} {options}"


@pytest.mark.parametrize(
    "data", ["state.json", "named.json", "big.qasm:qubit_order=big-endian", "little.qasm:qubit_order=little-endian"]
)
def test_map_of_a_prepared_state_is_that_of_its_amplitudes(home: Path, tmp_path: Path, data: str) -> None:
    model = hq.Model.load(home / "model" / "model.json")
    x = state().final_state_vector(qubit_order=cirq.LineQubit.range(2), dtype=np.complex128)
    wanted = hq.integrated_gradients(model, x, baseline=0)
    assert run(line(home, data, tmp_path / "maps")) == 0
    found = hq.Attribution.load(tmp_path / "maps" / "attribution.npz")
    np.testing.assert_allclose(found.values, [wanted.values], atol=1e-6)
    np.testing.assert_allclose(found.f_input, wanted.f_input, atol=1e-6)
    assert not found.knows_input
    assert (tmp_path / "maps" / "gallery.png").is_file()


def test_measured_state_is_planned_resumed_shown_and_reported(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = "--estimator resolved:0 --engine cirq --shots 4000"
    assert run(line(home, "state.json", tmp_path / "maps", f"{counted} --dry-run")) == 0
    assert run(f"resume {tmp_path}/maps") == 0
    a = hq.Attribution.load(tmp_path / "maps" / "attribution.npz")
    assert a.values.shape == (1, 2)
    assert abs(a.completeness_gap[0]) < 5 * a.completeness_gap_stderr[0]
    capsys.readouterr()
    assert run(f"show {tmp_path}/maps") == 0
    printed = capsys.readouterr().out
    assert "a state that 4 operations on 2 qubits prepare" in printed
    assert "scores=measured" in printed
    assert run(f"report {tmp_path}/maps --out {tmp_path}/page.html") == 0


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("big.qasm", MEASURED, "must state which qubit is the most significant"),
        ("state.json:side=2", MEASURED, "takes no options"),
        ("measured.qasm:qubit_order=big-endian", MEASURED, "not all of it prepares a state"),
        ("text.json", MEASURED, "it is no circuit that cirq.to_json wrote"),
        ("gate.json", MEASURED, "and no circuit"),
        ("three.json", MEASURED, "has 3 qubits, the model 2"),
        ("absent.json", MEASURED, "absent.json"),
        ("state.json", f"{MEASURED} --baseline mean", "leave --baseline out"),
        ("state.json", f"{MEASURED} --index 0", "leave --inputs out"),
        ("state.json", "--estimator hadamard", "use ResolvedHadamardTest"),
    ],
)
def test_file_that_prepares_no_input_is_refused(
    home: Path, tmp_path: Path, data: str, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "measured.qasm").write_text((home / "big.qasm").read_text() + "creg c[1]; measure q[0] -> c[0];\n")
    (home / "text.json").write_text("{")
    cirq.to_json(cirq.X, home / "gate.json")
    cirq.to_json(cirq.Circuit(cirq.H.on_each(*cirq.NamedQubit.range(3, prefix="n"))), home / "three.json")
    assert message in refusal(line(home, data, tmp_path / "maps", options), capsys)
    assert not (tmp_path / "maps").exists()
