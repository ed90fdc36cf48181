"""Every option of every command is checked, whether or not the run uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run, train_on_table

from hattriq_cirq.cli.arguments import parse_float, parse_int

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table, a model and maps."""
    home = tmp_path_factory.mktemp("home")
    train_on_table(home, epochs=2)
    assert run(f"attribute {home}/model --data {home}/table.csv --inputs test:0:1 --out {home}/maps") == 0
    return home


COMMANDS = {
    "train": "train {home}/table.csv --out {out}",
    "attribute": "attribute {home}/model --data {home}/table.csv --out {out}",
    "gradient": "gradient {home}/model --data {home}/table.csv --out {out}",
    "calibrate": "calibrate --engine virtual:willow_pink --out {out}",
    "learn": "learn {home}/model --out {out}",
    "explain": "explain {home}/model --data {home}/table.csv --out {out}",
    "cost": "cost --out {out}",
    "cost of a model": "cost {home}/model --data {home}/table.csv --out {out}",
    "show": "show {home}/model --png {out}",
    "report": "report {home}/maps --out {out}",
}
NUMBERS = ("nonsense", "1_1", "٣", "nan", "1e999", "")
CAPS = {
    **dict.fromkeys(("max-shots", "max-jobs"), (*NUMBERS, "0", "-1", "1.5")),
    **dict.fromkeys(("max-seconds", "max-configuration-age"), ("nonsense", "0", "-1", "1_1", "nan", "")),
}
#: Options of each command with words that they refuse; every option but file names and free texts is listed.
OPTIONS = {
    "train": {
        "ansatz": ("nonsense", "grid:2x", "grid:1_0x1"),
        **dict.fromkeys(("layers", "epochs", "batch-size", "seed"), (*NUMBERS, "-1", "1.5")),
        **dict.fromkeys(("learning-rate", "scale"), (*NUMBERS, "-1", "0")),
        "optimizer": ("nonsense", ""),
    },
    "attribute": {
        "inputs": ("nonsense", "test:a:b", "test:0:٣", ""),
        "index": ("nonsense", "1_1", "-1", "٣", ""),
        "baseline": ("nonsense", "blur:", "blur:-1", "blur:nan", "blur:1_0", "sample:", "sample:1_1", "zero:3", ""),
        "form": ("nonsense", ""),
        "rule": ("nonsense", "riemann", "riemann:0", "riemann:1_0", "gauss-legendre:10001", "riemann:٣", ""),
        "head": ("nonsense", "tanh:0", "tanh:1_0", "tanh:nan", ""),
        "precision": ("nonsense", ""),
        "estimator": ("nonsense", "parallel:0", "parallel:1_1", "parallel:", "parallel:999999", ""),
        "engine": ("nonsense", "virtual:", "virtual:nonsense", "virtual:willow_pink,noise=nonsense", "google:", ""),
        "shots": (*NUMBERS, "-1", "1.5", "1" + "0" * 25),
        "mitigate": ("nonsense", "zne,zne", "readout:1_0", "readout:٣", "zne:3"),
        "calibration": ("nonsense", ""),
        "max-age": ("nonsense", "1", "1_1", ""),
        "seed": (*NUMBERS, "-1"),
        **CAPS,
    },
    "gradient": {
        "inputs": ("nonsense", "test:a:b", ""),
        "index": ("nonsense", "1_1", "-1", ""),
        "estimator": ("nonsense", "parallel:0", ""),
        "engine": ("nonsense", "virtual:", "google:", ""),
        "shots": (*NUMBERS, "-1", "1.5", "1" + "0" * 25),
        "mitigate": ("nonsense", "zne,zne", "readout:1_0"),
        "calibration": ("nonsense", ""),
        "max-age": ("nonsense", "1", ""),
        "seed": (*NUMBERS, "-1"),
        **CAPS,
    },
    "calibrate": {
        "engine": ("nonsense", "virtual:", "qsim", ""),
        "qubits": ("nonsense", "1_1_1", "4_1٣", "99_99", ""),
        "inputs": ("nonsense", ""),
        "index": ("nonsense", "1_1", ""),
        "baseline": ("nonsense", "blur:-1", ""),
        "estimator": ("nonsense", "parallel:0", ""),
        "shots": (*NUMBERS, "-1", "0", "1" + "0" * 25),
        "pattern": ("nonsense", ""),
        "seed": (*NUMBERS, "-1"),
        "data": ("nonsense",),
        **CAPS,
    },
    "learn": {
        "data": ("nonsense", ""),
        "inputs": ("nonsense", "test:a:b", ""),
        "index": ("nonsense", "1_1", "-1", ""),
        "baseline": ("nonsense", "blur:-1", ""),
        "engine": ("nonsense", "virtual:", "google:", ""),
        "shots": (*NUMBERS, "-1", "1.5", "3", "1" + "0" * 25),
        "error": ("nonsense", "0", "-1", "1_1", "nan", "1e-12", ""),
        "strings": ("nonsense", "XYZ", "II", "XY", "X,", ""),
        "prior": ("nonsense", ""),
        "probes": (*NUMBERS, "-1", "3", "1.5"),
        "mitigate": ("nonsense", "damping:3", "damping,damping", "damping,", "readout:1_0", "completeness", "zne,zne"),
        "calibration": ("nonsense", ""),
        "max-age": ("nonsense", "1", "1_1", ""),
        "seed": (*NUMBERS, "-1"),
        **CAPS,
    },
    "explain": {
        "data": ("nonsense", ""),
        "what": ("nonsense", "maps,", "maps,maps"),
        "inputs": ("nonsense", "test:a:b", ""),
        "index": ("nonsense", "1_1", "-1", ""),
        "baseline": ("nonsense", "blur:-1", ""),
        "seed": (*NUMBERS, "-1"),
    },
    "cost": {
        "qubits": ("nonsense", "0", "1_1", "-1", "٣", ""),
        "layers": (*NUMBERS, "-1", "10001"),
        "estimators": ("nonsense", "exact", "parallel:0", ""),
        "gateset": ("nonsense", ""),
        "processor": ("nonsense",),
        "cosine": ("nonsense", "0", "1", "1_1", "nan", ""),
        "stderr": ("nonsense", "0", "-1", "1_1", "nan", ""),
        "seed": (*NUMBERS, "-1"),
        "baseline": ("nonsense", "mean", ""),
        "data": ("nonsense",),
        "inputs": ("nonsense", "test:0:1", ""),
        "index": ("nonsense", "0", "1_1"),
        "rule": ("nonsense", "riemann:0", ""),
        "engine": ("nonsense", "virtual:", "virtual:nonsense", "google:", ""),
        "shots": (*NUMBERS, "-1", "0", "1.5", "1" + "0" * 25),
        "mitigate": ("nonsense", "readout"),  # a mitigation needs shots
        "calibration": ("nonsense", ""),
        "max-age": ("nonsense", "1", ""),
    },
    "cost of a model": {
        "qubits": ("nonsense", ""), "layers": (*NUMBERS, "-1"),
        "index": ("-1", "20", "1_1"), "inputs": ("nonsense", "test:9:9", ""), "baseline": ("nonsense",),
    },
    "show": {"input": (*NUMBERS, "-1"), "top": (*NUMBERS, "0"), "shape": ("nonsense", "2x", "0x4", "1_0x2", "٣x1", "")},
}  # fmt: skip
CASES = [(command, option) for command, options in OPTIONS.items() for option in options]


@pytest.mark.parametrize(("command", "option"), CASES, ids=[" --".join(case) for case in CASES])
def test_nonsense_is_refused_by_every_option(
    home: Path, tmp_path: Path, command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in OPTIONS[command][option]:
        line = COMMANDS[command].format(home=home, out=tmp_path / "out")
        assert run(f"{line} --{option} '{word}'") == 2, word
        printed = capsys.readouterr()
        assert printed.err.startswith("hattriq: error: "), word
        assert len(printed.err.splitlines()) == 1
        assert not (tmp_path / "out").exists(), word


def test_numbers_of_the_command_line_are_ascii_decimals() -> None:
    assert [parse_int(text) for text in ("7", "-3", "+0")] == [7, -3, 0]
    assert [parse_float(text) for text in ("7", "-.5", "1e-3", "2.", "inf")] == [7, -0.5, 1e-3, 2, float("inf")]
    for text in ("1_1", "٣", " 1", "0x1", "", "1e", "--1", "1\n"):
        for parse in (parse_int, parse_float):
            with pytest.raises(ValueError, match="is no"):
                parse(text)
