"""`hattriq report`: runs and studies on one HTML page."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from hattriq_cirq.foundation.display import printable


@dataclass(frozen=True)
class Report:
    """Write runs and studies onto one page.

    The HTML page has one section per RUN: question, settings, accuracy, findings, maps, tables with intervals, cost,
    assumptions and provenance. It needs no other file and no network.

    RUN is a folder that `hattriq train` or `hattriq attribute` wrote, or the folder of a study: runs/NAME, whose newest
    report is taken, or one report in it. The accuracy of the model stands beside its maps if its training is where it was.

    Args:
        runs (RUN): Folders, as above.
        out (FILE): New HTML file.
        title (TEXT): Title of the page.

    Examples:
        hattriq report runs/digits-maps --out report.html
        hattriq report runs/digits runs/digits-maps --title Digits --out digits.html
    """

    runs: tuple[str, ...]
    _: KW_ONLY
    out: str
    title: str = "Attribution report"

    def run(self) -> int:
        """Write the page."""
        from hattriq_cirq.cli.sections import load_section
        from hattriq_cirq.foundation.files import check_new
        from hattriq_cirq.reporting.html import write_report

        check_new(self.out)
        sections = [load_section(Path(folder)) for folder in self.runs]
        page = write_report(self.out, self.title, sections)
        print(f"wrote {printable(page)}: {'; '.join(printable(section.title) for section in sections)}")
        print("open it in a browser; it needs no other file and no network")
        return 0
