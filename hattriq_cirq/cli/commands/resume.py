"""`hattriq resume`: continue a run that stopped."""

from __future__ import annotations

from contextlib import chdir, nullcontext
from dataclasses import dataclass
from pathlib import Path

from hattriq_cirq.cli.commands.attribute import PICTURES, RESULTS, Attribute
from hattriq_cirq.cli.commands.calibrate import Calibrate, journal_folder


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
        """Run the recorded command with the recorded settings in the folder of the run; nothing is written elsewhere.

        The file of a calibration lies beside its folder, which is named after it.
        """
        from hattriq_cirq.cli.folders import read_task
        from hattriq_cirq.cli.run_folder import begun_command, is_finished

        folder = Path(self.folder).absolute()
        if command := begun_command(folder):
            raise ValueError(f"{self.folder} holds a run of `hattriq {command}` without a journal; repeat the command to go on")
        summary, task = read_task(self.folder)
        is_calibration = task["command"] == "calibrate"
        if summary.status == "finished" and (is_calibration or is_finished(folder, RESULTS, PICTURES)):
            raise ValueError(f"{self.folder} is finished, nothing is left to do; `hattriq show {self.folder}` prints it")
        home = task["directory"]
        with chdir(home) if Path(home).is_dir() else nullcontext():
            if is_calibration:
                name = Path(task["out"]).name
                beside = folder.with_name(name)
                file = beside if journal_folder(beside) == folder else folder / name
                return Calibrate(out=str(file), **task["settings"]).measure(file, folder)
            return Attribute(task["model"]["path"], data=task["data"]["spec"], out=str(folder), **task["settings"]).run()
