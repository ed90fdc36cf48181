"""`hattriq calibrate`, `hattriq attribute --mitigate`, and saved calibrations."""

from __future__ import annotations

import json
from pathlib import Path

import cirq
import numpy as np
import pytest
from command_line import run, train_on_table
from journals import interrupting
from stand_in import StandIn

import calibration as layer
from calibration import CalibrationError, ReadoutCalibration
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.compilation.snapshot import load_processor
from hattriq_cirq.execution.journal import Journal
from hattriq_cirq.pipeline.mitigation import mitigations
from hattriq_cirq.workflows.values import parse_mitigation

ENGINE = "--engine virtual:willow_pink,noise=readout"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table and a model trained on it."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home)
    return home


def attribute(home: Path, out: Path, options: str) -> str:
    return f"attribute {home}/model --data {home}/table.csv --inputs test:0:2 --estimator resolved --out {out} {options}"


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hattriq: error: ")
    return line


# calibrate and show


def test_calibration_of_named_qubits_is_saved_printed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"calibrate {ENGINE} --qubits 4_10,5_10 --shots 400 --pattern complement --seed 3 --out {tmp_path}/a.json") == 0
    printed = capsys.readouterr().out
    calibration = ReadoutCalibration.load(tmp_path / "a.json")
    assert calibration.qubits == (cirq.GridQubit(4, 10), cirq.GridQubit(5, 10))
    assert (calibration.pattern, calibration.source["engine"]) == ("complement", "virtual:willow_pink")
    assert calibration.shots.tolist() == [[400, 400]] * 2
    assert calibration.id in printed
    assert "q(4, 10)" in printed
    assert run(f"show {tmp_path}/a.json") == 0
    assert capsys.readouterr().out.strip() in printed
    for seed, same in ((3, True), (4, False)):
        line = (
            f"calibrate {ENGINE} --qubits 4_10,5_10 --shots 400 --pattern complement --seed {seed} --out {tmp_path}/{seed}.json"
        )
        assert run(line) == 0
        repeated = ReadoutCalibration.load(tmp_path / f"{seed}.json")
        assert bool((repeated.errors == calibration.errors).all()) is same


def test_calibration_without_named_qubits_measures_the_whole_processor(tmp_path: Path) -> None:
    assert run(f"calibrate --engine virtual:rainbow,noise=readout --shots 50 --out {tmp_path}/a.json") == 0
    assert len(ReadoutCalibration.load(tmp_path / "a.json").qubits) == 23


def test_calibration_of_a_model_measures_the_qubits_of_its_attribution(home: Path, tmp_path: Path) -> None:
    chosen = f"{home}/model --data {home}/table.csv --inputs test:0:2"
    assert run(f"calibrate {chosen} {ENGINE} --shots 2000 --out {tmp_path}/a.json") == 0
    saved = ReadoutCalibration.load(tmp_path / "a.json")
    options = f"{ENGINE} --shots 2000 --mitigate readout --calibration {tmp_path}/a.json --max-age 1"
    assert run(attribute(home, tmp_path / "r", options)) == 0
    a = Attribution.load(tmp_path / "r" / "attribution.npz")
    assert a.assumptions.calibration_id == saved.id
    assert a.cost.mitigation_circuits == 0
    record = json.loads((tmp_path / "r" / "run.json").read_text())
    assert record["settings"]["mitigate"] == "readout"
    assert record["settings"]["calibration"] == f"{tmp_path}/a.json"
    assert record["assumptions"]["calibration_id"] == saved.id


def test_calibration_of_a_google_processor_has_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"calibrate --engine google:p/willow_pink --qubits 4_10,5_10 --shots 40 --out {tmp_path}/a.json"
    with StandIn() as service, service.connected():
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "store", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            assert run(line) == 130
        assert f"hattriq resume {tmp_path}/a.run" in capsys.readouterr().err
        assert run(f"resume {tmp_path}/a.run") == 0
        assert set(service.executions.values()) == {1}
    assert not (tmp_path / "a.json").exists()
    saved = ReadoutCalibration.load(tmp_path / "a.run" / "a.json")
    assert saved.shots.tolist() == [[40, 40]] * 2
    assert saved.source["processor"] == "willow_pink"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("calibrate --engine qsim --out OUT/a.json", "no processor"),
        (f"calibrate {ENGINE} --qubits 4-10 --out OUT/a.json", "rows and columns"),
        (f"calibrate {ENGINE} --qubits 99_1 --out OUT/a.json", "no qubits q(99, 1)"),
        (f"calibrate {ENGINE} --qubits 4_10,4_10 --out OUT/a.json", "4"),
        (f"calibrate HOME/model {ENGINE} --out OUT/a.json", "belong together"),
        (f"calibrate HOME/model --data HOME/table.csv --estimator exact {ENGINE} --out OUT/a.json", "runs no circuit"),
        (f"calibrate {ENGINE} --qubits 4_10 --shots 0 --out OUT/a.json", "at least 1"),
        (f"calibrate {ENGINE} --qubits 4_10 --pattern odd --out OUT/a.json", "must be one of"),
        (f"calibrate {ENGINE} --qubits 4_10 --out HOME/table.csv", "not overwritten"),
        ("calibrate --out OUT/a.json", "--engine"),
    ],
)
def test_invalid_calibrate_options_are_one_line(
    line: str, words: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.replace("OUT", str(tmp_path)).replace("HOME", str(home))) == 2
    assert words in error_line(capsys)
    assert list(tmp_path.iterdir()) == []


# mitigate


def test_readout_calibration_of_a_resumed_run_equals_that_of_an_uninterrupted_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = f"{ENGINE} --shots 2000 --mitigate readout:300"
    assert run(attribute(home, tmp_path / "uninterrupted", options)) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "store", interrupting(Journal.store, 3))
        assert run(attribute(home, tmp_path / "interrupted", options)) == 130
    assert run(f"resume {tmp_path}/interrupted") == 0
    uninterrupted, interrupted = (
        Attribution.load(tmp_path / name / "attribution.npz") for name in ("uninterrupted", "interrupted")
    )
    np.testing.assert_array_equal(uninterrupted.values, interrupted.values)
    np.testing.assert_array_equal(uninterrupted.stderr, interrupted.stderr)
    assert "300 shots a state" in uninterrupted.assumptions.mitigation
    assert uninterrupted.cost.mitigation_shots >= 2 * 300


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("readout", ["Readout"]),
        ("twirled-readout:4", ["TwirledReadout"]),
        ("correlated-readout", ["CorrelatedReadout"]),
        ("readout:99,twirl:8,zne", ["ZeroNoiseExtrapolation", "PauliTwirling", "Readout"]),
        ("dd,completeness", ["CompletenessRescaling", "DynamicalDecoupling"]),
        ("noise-estimation", ["NoiseEstimation"]),
    ],
)
def test_names_of_mitigations_in_any_order(text: str, names: list[str]) -> None:
    mitigation = parse_mitigation(text, 5)
    parts = mitigation.parts if isinstance(mitigation, layer.MitigationSequence) else [mitigation]
    assert [type(part).__name__ for part in parts] == names
    numbers = {"PauliTwirling": ("twirls", 8), "TwirledReadout": ("masks", 4)}
    for part in parts:
        if type(part).__name__ in numbers:
            field, value = numbers[type(part).__name__]
            assert (getattr(part, field), part.seed) == (value, 5)  # type: ignore[union-attr]
        if isinstance(part, layer.Readout) and ":" in text:
            assert part.shots == 99


def test_every_registered_mitigation_is_built_by_its_name() -> None:
    assert parse_mitigation("", 0) is None
    for name, entry in mitigations().items():
        assert type(parse_mitigation(name, 0)).__name__ == entry.attr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--mitigate foo", "must be of auto, known-answers, completeness"),
        ("--mitigate readout,readout", "at most once"),
        ("--mitigate readout,", "must be of"),
        ("--mitigate zne:3", "no use for '3'"),
        ("--mitigate readout:many", "no use for 'many'"),
        ("--mitigate readout:5 --calibration HOME/known.json", "no use for '5'"),
        ("--mitigate readout,twirled-readout", "one corrects readout"),
        ("--calibration HOME/known.json", "are for --mitigate readout"),
        ("--mitigate zne --max-age 3", "are for --mitigate readout"),
        ("--mitigate readout --max-age 3", "of a --calibration"),
        ("--mitigate readout --calibration HOME/none.json", "none.json"),
        ("--mitigate readout --calibration HOME/table.csv", "not a readout calibration"),
        ("--mitigate readout --calibration HOME/known.json", "does not know qubits"),
        ("--mitigate readout --calibration HOME/foreign.json", "processor 'weber'"),
        ("--mitigate readout --calibration HOME/old.json --max-age 24", "hours old"),
    ],
)
def test_invalid_mitigations_are_one_line(
    options: str, words: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrations = {
        "known": ReadoutCalibration.from_mapping({cirq.GridQubit(4, 10): (0.01, 0.1)}),
        "foreign": ReadoutCalibration((cirq.GridQubit(4, 10),), known=np.zeros((1, 2)), source={"processor": "weber"}),
        "old": ReadoutCalibration.from_processor(load_processor("willow_pink")),
    }
    for name, calibration in calibrations.items():
        if not (home / f"{name}.json").exists():
            calibration.save(home / f"{name}.json")
    assert run(attribute(home, tmp_path / "r", f"{ENGINE} {options}".replace("HOME", str(home)))) == 2
    assert words in error_line(capsys)
    assert not (tmp_path / "r").exists()


def test_mitigation_without_estimator_is_rejected(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"attribute {home}/model --data {home}/table.csv --out {tmp_path}/r --mitigate readout"
    assert run(line) == 2
    assert "need an estimator" in error_line(capsys)


def test_damaged_calibration_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ReadoutCalibration.from_mapping({cirq.GridQubit(4, 10): (0.01, 0.1)}).save(tmp_path / "a.json")
    file.write_text(file.read_text().replace("0.1", "0.2"))
    assert run(f"show {file}") == 2
    assert "damaged" in error_line(capsys)
    with pytest.raises(CalibrationError, match="damaged"):
        parse_mitigation("readout", 0, str(file))
