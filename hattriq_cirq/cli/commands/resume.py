"""`hattriq resume`: continue a run that stopped."""

from __future__ import annotations

import os
from contextlib import chdir, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hattriq_cirq.cli.commands import attribute, gradient, learn
from hattriq_cirq.cli.commands.attribute import Attribute
from hattriq_cirq.cli.commands.calibrate import Calibrate
from hattriq_cirq.cli.commands.gradient import Gradient
from hattriq_cirq.cli.commands.learn import Learn
from hattriq_cirq.cli.engine_options import EngineOptions
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.terminal import shell_word

if TYPE_CHECKING:
    from hattriq_cirq.execution.journal_summary import RunSummary
    from hattriq_cirq.reporting.records import AttributeTask, CalibrateTask


@dataclass(frozen=True)
class Resume(EngineOptions):
    """Continue a run that stopped.

    The run continues from the records in its folder, as if the same command were typed again.

    Finished jobs are not run again, and jobs that are still with the service are found by their ids, so the result equals
    that of an uninterrupted run. The caps of the run stay unless other ones are given here.

    A run on a google processor stays on the configuration that it began with, unless --recompile is given.

    Args:
        folder (RUN): Folder of the run.

    Examples:
        hattriq resume runs/noisy
        hattriq resume runs/noisy --max-shots 200000
        hattriq resume runs/hardware --recompile
    """

    folder: str

    def run(self) -> int:
        """Run the recorded command with the recorded settings in the folder of the run; nothing is written elsewhere."""
        from hattriq_cirq.cli.run_folder import is_finished
        from hattriq_cirq.reporting.records import begun_command, read_task

        folder = Path(self.folder).absolute()
        if command := begun_command(folder):
            raise ValueError(f"{self.folder} holds a run of `hattriq {command}` without a journal; repeat the command to go on")
        summary, task = read_task(self.folder)
        written = {"attribute": attribute, "gradient": gradient, "learn": learn}.get(task["command"])
        if summary.status == "finished" and (written is None or is_finished(folder, written.RESULTS, written.PICTURES)):
            raise ValueError(
                f"{self.folder} is finished, nothing is left to do; `hattriq show {shell_word(self.folder)}` prints it"
            )
        self.check_engine_options(str(task["settings"].get("engine")))
        print(f"{printable(self.folder)}: {summary.done} of {summary.jobs} jobs are done, going on", flush=True)
        recorded, home = replace(recorded_command(self.folder, task), **self._options(summary)), task["directory"]
        moves = os.path.isdir(home) and not os.path.samefile(home, ".")
        with chdir(home) if moves else nullcontext():
            out = folder if moves else Path(self.folder)  # printed as it was given, where that still names the folder
            if isinstance(recorded, Calibrate):
                file = out / (Path(recorded.out).name or "calibration.json")
                return replace(recorded, out=str(file)).measure(file, out)
            try:
                return replace(recorded, out=str(out)).run()
            except FileNotFoundError as error:
                moved = f"hattriq {task['command']} MODEL --data DATA --out {shell_word(self.folder)}"
                error.add_note(f"if files were moved, repeat the command with their present paths: `{moved} ...`")
                raise

    def _options(self, summary: RunSummary) -> dict[str, Any]:
        """Return the options of the engine: those that are given, else those that the journal records."""
        recorded = {f"max_{name}": value for name, value in (summary.caps or {}).items()}
        given = self.engine_options
        return {name: recorded.get(name) if value is None else value for name, value in given.items()}


def recorded_command(folder: str, task: AttributeTask | CalibrateTask) -> Attribute | Gradient | Learn | Calibrate:
    """Return the command that the journal in a folder records.

    Raises:
        FileError: One of its settings is unknown or of another type; a ValueError.
    """
    from hattriq_cirq.cli.records import command_from_task

    if task["command"] == "calibrate":
        return command_from_task(Calibrate, task, folder, out=task["out"])
    kinds: dict[str, type[Attribute | Gradient | Learn]] = {"attribute": Attribute, "gradient": Gradient, "learn": Learn}
    kind = kinds[task["command"]]
    return command_from_task(kind, task, folder, model=task["model"]["path"], data=task["data"]["spec"], out=folder)
