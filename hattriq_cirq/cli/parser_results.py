"""The words of the commands that show results and look after runs; only the standard library is imported."""

from __future__ import annotations

import argparse

from hattriq_cirq.cli import handlers
from hattriq_cirq.cli.parsing import Parser, add_command


def add_commands(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds show, report, demo, runs, resume, cancel and doctor."""
    for add in (_add_show, _add_report, _add_demo, _add_runs, _add_resume, _add_cancel, _add_doctor):
        add(commands)


def _add_show(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "show",
        "print a saved model, attribution or run",
        "Prints what a file or folder of this program holds: a model, an attribution with its largest features, or a\n"
        "run with its settings and accuracies.",
        "  hattriq show runs/digits\n  hattriq show runs/digits-maps --input 2 --top 5 --png map.png\n"
        "  hattriq show attribution.npz --shape 8x8 --png map.png",
    )
    parser.add_argument("path", metavar="PATH", help="attribution.npz, model.json, run.json or a folder")
    parser.add_argument("--png", metavar="FILE", help="also draw the chosen input and its map into a new file")
    parser.add_argument("--input", type=int, default=0, metavar="K", help="which input (default: %(default)s)")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="features to list (default: %(default)s)")
    parser.add_argument("--shape", metavar="RxC", help="of the image; default: what run.json says, else bars")
    parser.set_defaults(command=handlers.show)


def _add_report(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "report",
        "put runs and studies on one page",
        "Writes one HTML page with a section for each RUN: what was asked, settings, accuracy, findings, maps, tables with\n"
        "intervals, cost, assumptions and provenance. The page needs no other file and no network.\n\n"
        "RUN is the folder of `hattriq train` or `hattriq attribute`, or of a study: runs/NAME, whose newest report is taken,\n"
        "or one report in it. Beside maps stands the accuracy of the model, if its training is where it was.",
        "  hattriq report runs/digits-maps --out report.html\n"
        "  hattriq report runs/digits runs/digits-maps --title Digits --out digits.html",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="a folder, as above")
    parser.add_argument("--out", required=True, metavar="FILE", help="new HTML file")
    parser.add_argument("--title", default="Attribution report", metavar="TEXT", help="of the page (default: %(default)s)")
    parser.set_defaults(command=handlers.report)


def _add_demo(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "demo",
        "from data to attribution maps and a report",
        "Trains on Bars and Stripes and on real handwritten digits, attributes test inputs, checks completeness, and\n"
        "writes everything, with a one-page report, into a new folder. Takes seconds.",
        "  hattriq demo --out demo\n  hattriq demo --out demo-quick --quick",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="new or empty folder for the results")
    parser.add_argument("--quick", action="store_true", help="fewer epochs and inputs")
    parser.set_defaults(command=handlers.demo)


def _add_runs(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "runs",
        "list runs and how far they are",
        "Lists every run on an engine below a folder: finished, unfinished, running (a process works on it now), failed or\n"
        "cancelled, with the jobs and shots whose counts are recorded.\n\nUnfinished, failed and cancelled runs go on with "
        "`hattriq resume`.",
        "  hattriq runs\n  hattriq runs runs",
    )
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="where to look (default: here)")
    parser.set_defaults(command=handlers.runs)


def _add_resume(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "resume",
        "go on with a run that stopped",
        "Goes on with an unfinished run from what its folder has recorded, as the same command again would.\n\n"
        "Finished jobs are not run again and jobs still with the service are picked up by their ids, so the result is that\n"
        "of an unbroken run.",
        "  hattriq resume runs/noisy",
    )
    parser.add_argument("run", metavar="RUN", help="the folder of the run")
    parser.set_defaults(command=handlers.resume)


def _add_cancel(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "cancel",
        "give a run up",
        "Cancels the jobs of a stopped run that are still with the service, and records that the run was given up.\n\n"
        "Counts of jobs that were done by then are kept, and `hattriq resume` still goes on from there.",
        "  hattriq cancel runs/noisy",
    )
    parser.add_argument("run", metavar="RUN", help="the folder of the run")
    parser.set_defaults(command=handlers.cancel)


def _add_doctor(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = add_command(
        commands,
        "doctor",
        "check the installation and the access to processors",
        "Checks the packages, the simulators and the virtual processors, and with --project and --processor the\n"
        "credentials and the access, by one cheap call. Each line says ok, failed or skipped, and what to do.\n\n"
        "Exit code 0 if nothing failed, else 1.",
        "  hattriq doctor\n  hattriq doctor --project my-project --processor my-processor",
    )
    parser.add_argument("--project", metavar="P", help="a Google Cloud project")
    parser.add_argument("--processor", metavar="X", help="the id of a processor")
    parser.set_defaults(command=handlers.doctor)
