"""`hattriq snapshot`: save the device and the calibration of a processor."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from hattriq_cirq.foundation.display import printable


@dataclass(frozen=True)
class Snapshot:
    """Save the device and the calibration of a processor into a file.

    The file stands for the processor wherever one is named: `--engine virtual:FILE` simulates it with the noise of its
    calibration and the checks of the service, and `hattriq cost --processor FILE` routes circuits on it. Journals know it by
    its content, so that it may be moved.

    With --project, a processor of the Google Cloud project is asked for. Without it, PROCESSOR is one of those bundled with
    cirq_google, or a DeviceSpecification file in binary, JSON or text form, which has no calibration.

    Args:
        processor (PROCESSOR): Id of the processor, or without --project a bundled one or a file.
        project (P): Google Cloud project.
        config (NAME): Device configuration (only with --project; default: that of the processor).
        snapshot (ID): Earlier snapshot of the configuration (only with --project; default: the current one).
        out (FILE): New JSON file.

    Examples:
        hattriq processors --project my-project
        hattriq snapshot --project my-project my-processor --out device.json
        hattriq snapshot weber --out weber.json
        hattriq attribute runs/bars --data bars_and_stripes --inputs test:0:2 --out runs/rehearsal --estimator resolved \
--engine virtual:weber.json
    """

    processor: str
    _: KW_ONLY
    project: str | None = None
    config: str | None = None
    snapshot: str | None = None
    out: str

    def run(self) -> int:
        """Write the file and print what it holds."""
        import hattriq_cirq as hq
        from hattriq_cirq.compilation.snapshot import find_snapshot
        from hattriq_cirq.foundation.files import check_new

        if self.project is None and (self.config is not None or self.snapshot is not None):
            raise ValueError("--config and --snapshot name configurations of the service; give --project as well")
        check_new(self.out)
        taken = (
            find_snapshot(self.processor)
            if self.project is None
            else hq.snapshot(self.project, self.processor, device_config_name=self.config, snapshot=self.snapshot)
        )
        taken.save(self.out)
        print(taken, f"wrote {printable(self.out)}", sep="\n")
        return 0
