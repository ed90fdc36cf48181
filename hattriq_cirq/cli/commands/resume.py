"""`hattriq resume`: continue a run that stopped."""

from __future__ import annotations

from contextlib import chdir, nullcontext
from dataclasses import dataclass
from pathlib import Path

from hattriq_cirq.cli.commands.attribute import Attribute
from hattriq_cirq.cli.commands.calibrate import Calibrate


@dataclass(frozen=True)
class Resume:
    """Continue a run that stopped.

    The run continues from the records in its folder, as if the same command were typed again.

    Finished jobs are not run again, and jobs that are still with the service are found by their ids, so the result equals
    that of an uninterrupted run.

    Args:
        folder (RUN): Folder of the run.

    Examples:
        hattriq resume runs/noisy
    """

    folder: str

    def run(self) -> int:
        """Run the recorded command with the recorded settings in the folder of the run."""
        from hattriq_cirq.cli.folders import read_task

        summary, task = read_task(self.folder)
        if summary.status == "finished":
            raise ValueError(f"{self.folder} is finished, nothing is left to do; `hattriq show {self.folder}` prints it")
        folder, home = Path(self.folder).absolute(), task["directory"]
        with chdir(home) if Path(home).is_dir() else nullcontext():
            if task["command"] == "calibrate":
                return Calibrate(out=task["out"], **task["settings"]).run()
            return Attribute(task["model"]["path"], data=task["data"]["spec"], out=str(folder), **task["settings"]).run()
