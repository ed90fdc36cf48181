"""`hattriq demo`: from data to attribution maps and a report."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import hattriq_cirq as hq
from hattriq_cirq.cli.commands import attribute, train
from hattriq_cirq.cli.commands.attribute import Attribute
from hattriq_cirq.cli.commands.train import Train

TASKS = {"bars_and_stripes": "bars_and_stripes", "digits": "digits:pair=0/1"}
#: Largest completeness gap that is allowed.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Demo:
    """Run everything once, from data to attribution maps and a report.

    Models of Bars and Stripes and of handwritten digits are trained, test inputs are attributed, and completeness is
    checked. All results and a report are written into a new folder. This takes seconds.

    Args:
        out (DIR): New or empty folder for the results, or the folder of a demo that stopped.
        quick: Use fewer epochs and inputs.

    Examples:
        hattriq demo --out demo
        hattriq demo --out demo-quick --quick
    """

    _: KW_ONLY
    out: str
    quick: bool = False

    def run(self) -> int:
        """Run the demo and return 1 if a completeness gap exceeds the tolerance; everything is written either way."""
        from hattriq_cirq.cli.run_folder import check_run
        from hattriq_cirq.cli.sections import run_section
        from hattriq_cirq.reporting.html import write_report

        folder = check_run(self.out, tuple(TASKS))
        maps = []
        for name, spec in TASKS.items():
            print(f"== {name}")
            trained = str(folder / name / "train")
            maps.append(folder / name / "attribution")
            _complete(Train(spec, out=trained, epochs=100 if self.quick else 300), train.RESULTS, train.PICTURES)
            maps_of = Attribute(trained, data=spec, out=str(maps[-1]), inputs="test:0:4" if self.quick else "test:0:8")
            _complete(maps_of, attribute.RESULTS, attribute.PICTURES)
        page = write_report(
            folder / "report.html",
            "Integrated gradients of two quantum models",
            [run_section(each, TOLERANCE) for each in maps],
            "Each map shows how much every pixel, encoded in an amplitude, increases or decreases the score of the model.",
        )
        print(f"== done: open {page} in a browser; arrays, tables and pictures are in the folders beside it")
        worst = max(float(abs(hq.Attribution.load(each / "attribution.npz").completeness_gap).max()) for each in maps)
        if worst > TOLERANCE:
            print(f"hattriq: completeness fails: the largest gap is {worst:.1e}, more than {TOLERANCE:.0e}", file=sys.stderr)
            return 1
        print(f"completeness holds: the largest gap is {worst:.1e}, at most {TOLERANCE:.0e}")
        return 0


def _complete(command: Train | Attribute, results: Collection[str], pictures: Collection[str]) -> None:
    """Run a command unless an earlier demo in this folder finished it."""
    from hattriq_cirq.cli.folders import recorded_settings
    from hattriq_cirq.cli.records import same_task
    from hattriq_cirq.cli.run_folder import is_finished
    from hattriq_cirq.reporting.records import read_record

    folder = Path(command.out)
    if not is_finished(folder, results, pictures):
        command.run()
        return
    settings = recorded_settings(command, "model", "data", "out")
    same_task(folder, read_record(folder / "run.json"), {"settings": settings})
    print(f"{folder} is finished already")
