"""`hattriq explain`: why a model answers so, for a few inputs, on one page."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

from hattriq_cirq.cli.arguments import Seed
from hattriq_cirq.cli.help_lists import DATA_SETS


@dataclass(frozen=True)
class Explain:
    """Explain the answers of a model: one sentence for each input, and a page with pictures.

    The page report.html says for each input what the model predicts, which features decide, and what would have to change; it
    shows maps, the strongest pairs of features, the least change to the decision boundary, what correlations between qubits
    contribute, and where in the circuit the answer arises. Numbers are written beside it as CSV files.

    Nothing runs on a processor: a model is simulated, and of a model that `hattriq learn` measured the measured observable is
    explained, with its errors. The inputs come from the data set of the training unless --data names another.

    Args:
        model (RUN): A model.json or learned.npz, or a folder that holds one.
        data (DATA): Data set with the inputs, as listed above (default: that of the training).
        out (DIR): New or empty folder.
        what (PART,...): Parts: maps, interactions, counterfactual, orders, layers (default: all that the model has).
        inputs (SIDE[:FROM:TO]): Inputs of one side of the data set, all of test or train or a slice. The first three have
            pictures.
        index (I,J,...): Inputs by their indices in the whole data set, from 0.
        baseline (NAME): Baseline of maps, interactions and layers, as of `hattriq attribute`.
        seed (N): Random seed for the baseline sample:COUNT.

    Examples:
        hattriq explain runs/digits --out runs/why
        hattriq explain runs/digits --what maps,counterfactual --index 3,17 --out runs/two
        hattriq explain runs/learned --data digits:pair=3/5 --out runs/why-learned
    """

    help_lists: ClassVar = (DATA_SETS,)
    loads: ClassVar = ("hattriq_cirq.workflows.values", "hattriq_cirq.workflows.explain")

    model: str
    _: KW_ONLY
    data: str | None = None
    out: str
    what: str = ""
    inputs: str = field(default="test:0:3", metadata={"alias": "index"})
    baseline: str = "zero"
    seed: Seed = 0

    def run(self) -> int:
        """Compute all parts, write report.html, section.json, pictures and CSV files, and print the answers."""
        from hattriq_cirq.cli import model_data, run_folder, tables
        from hattriq_cirq.reporting.html import write_report
        from hattriq_cirq.workflows import values
        from hattriq_cirq.workflows.explain import PARTS, Explanation, impossible_parts

        values.check_inputs(self.inputs)
        values.check_baseline(self.baseline)
        chosen = self.what.split(",") if self.what else None
        if chosen is not None and not (set(chosen) <= set(PARTS) and len(set(chosen)) == len(chosen)):
            raise ValueError(f"--what {self.what!r} must be names of {', '.join(PARTS)}, with commas between them, each once")
        folder = run_folder.check_run(self.out)
        path, model = model_data.load_form(self.model)
        _, data = model_data.load_data(self.data or model_data.recorded_data(path), model, path)
        indices = values.select_inputs(self.inputs, data)
        name, baseline = values.make_baseline(self.baseline, data, indices, self.seed)
        left_out = impossible_parts(model)
        parts = chosen or [part for part in PARTS if part not in left_out]
        explanation = Explanation.of(model, data, indices, parts, baseline, name)
        section = explanation.section()
        folder.mkdir(parents=True, exist_ok=True)
        explanation.save(folder)
        section.save(folder)
        write_report(folder / "report.html", section.title, [section])
        print(*explanation.answers(), *section.findings, sep="\n")
        if chosen is None:
            for part, why in left_out.items():
                print(f"note: {part} {why}")
        tables.print_files(folder)
        print("open report.html in a browser; it needs no other file and no network")
        return 0
