"""`hattriq processors`: the processors that circuits can run on."""

from __future__ import annotations

import csv
import sys
from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True)
class Processors:
    """List processors with their qubits, availability, calibration and median errors.

    Without --project, the processors bundled with cirq_google are listed, which `--engine virtual:PROCESSOR` simulates. With
    it, those of the Google Cloud project come first, with what the service tells: health, schedule, the default configuration
    and its snapshot, the time of its calibration, and the median errors. A processor whose configuration this account cannot
    read is listed with the reason. What a calibration lacks is named below the table.

    `hattriq doctor --project P` checks the access, and `hattriq snapshot` saves a device with its calibration.

    Args:
        project (P): Google Cloud project.
        csv: Print all figures as CSV instead of a table.

    Examples:
        hattriq processors
        hattriq processors --project my-project
        hattriq processors --project my-project --csv > processors.csv
    """

    _: KW_ONLY
    project: str | None = None
    csv: bool = False

    def run(self) -> int:
        """Print the table, or one CSV row per processor."""
        import hattriq_cirq as hq
        from hattriq_cirq.foundation.terminal import is_watched

        listed = hq.processors(self.project, progress=is_watched())
        if not self.csv:
            print(listed)
            return 0
        rows = listed.rows()
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return 0
