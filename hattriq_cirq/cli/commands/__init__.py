"""Commands of the command line, one file per command: its settings and what it does."""

from hattriq_cirq.cli.arguments import Command
from hattriq_cirq.cli.commands.attribute import Attribute
from hattriq_cirq.cli.commands.calibrate import Calibrate
from hattriq_cirq.cli.commands.cancel import Cancel
from hattriq_cirq.cli.commands.cost import Cost
from hattriq_cirq.cli.commands.demo import Demo
from hattriq_cirq.cli.commands.doctor import Doctor
from hattriq_cirq.cli.commands.report import Report
from hattriq_cirq.cli.commands.resume import Resume
from hattriq_cirq.cli.commands.runs import Runs
from hattriq_cirq.cli.commands.show import Show
from hattriq_cirq.cli.commands.train import Train

COMMANDS: tuple[type[Command], ...] = (
    Train,
    Attribute,
    Calibrate,
    Cost,
    Show,
    Report,
    Demo,
    Runs,
    Resume,
    Cancel,
    Doctor,
)
"""Commands in the order of `hattriq --help`."""
