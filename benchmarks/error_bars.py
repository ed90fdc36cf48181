"""Error bars of maps from a noisy processor, on random circuits that no correction was tuned on.

    python -m benchmarks.error_bars --maps 30 --first 1000

For each pipeline: median relative L2 error, its standard error and systematic part, the coverage of 95% intervals, and their
mean interval score (Winkler) over that of the best interval of constant width, chosen with the exact maps at hand; and the
share of runs that warned of an assumption that fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import calibration as c
import hattriq_cirq as hq
from experiments.runner.map_metrics import best_constant_score, interval_scores
from hattriq_cirq.foundation.arrays import FloatArray
from hattriq_cirq.pipeline.mitigation import AssumptionWarning, Mitigation
from hattriq_cirq.workflows.generated_models import random_circuit

#: Mitigations by the names of the rows.
PIPELINES: dict[str, Mitigation | str | None] = {
    "raw": None,
    "readout": c.Readout(),
    "twirled": c.MitigationSequence([c.PauliTwirling(), c.Readout()]),
    "extrapolated": c.MitigationSequence([c.ZeroNoiseExtrapolation(), c.PauliTwirling(), c.Readout()]),
    "auto": "auto",
    "raw, known answers": c.KnownAnswers(),
    "extrapolated, 1 and 3": c.MitigationSequence([c.ZeroNoiseExtrapolation((1, 3)), c.PauliTwirling(), c.Readout()]),
}


def case(n: int, seed: int) -> tuple[hq.Model, FloatArray]:
    """Return a random circuit with CZ or CNOT, up to three random Pauli strings, and a dense input."""
    model = random_circuit(n, seed=seed, gates=("cz", "cnot")[seed % 2])
    x = np.random.default_rng([seed, 77]).normal(size=2**n)
    return model, x / np.linalg.norm(x)


def measure(n: int, seed: int, names: list[str], shots: int | None, processor: str, **options: Any) -> Iterator[dict[str, Any]]:
    """Yield the map, its errors and the exact map of one circuit for each pipeline."""
    model, x = case(n, seed)
    exact = hq.integrated_gradients(model, x, baseline=0).values
    placement = None
    for name in names:
        engine = hq.virtual(processor, seed=seed, gateset=options["gateset"], extra_noise=options["extra_noise"])
        settings: dict[str, Any] = {"baseline": 0, "estimator": hq.ResolvedHadamardTest(), "engine": engine, "shots": shots}
        settings["check"] = options["check"]
        prepared = hq.prepare(model, x, mitigation=PIPELINES[name], placement=placement, **settings)
        placement = prepared.placement
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AssumptionWarning)
            a = prepared.execute()
        low, high = a.interval()
        yield {
            "n": n,
            "seed": seed,
            "pipeline": name,
            "exact": exact.tolist(),
            "values": a.values.tolist(),
            "half": ((high - low) / 2).tolist(),
            "stderr": a.stderr.tolist(),
            "systematic": None if a.systematic is None else a.systematic.tolist(),
            "notes": list(a.assumptions.notes),
            "warnings": [str(each.message) for each in caught if issubclass(each.category, AssumptionWarning)],
        }


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures of one pipeline over some maps."""
    error, half, stderr, systematic = (
        np.concatenate([np.ravel(part) for part in parts])
        for parts in (
            [np.subtract(row["values"], row["exact"]) for row in rows],
            [row["half"] for row in rows],
            [row["stderr"] for row in rows],
            [row["systematic"] or np.zeros(len(row["stderr"])) for row in rows],
        )
    )
    relative = [np.linalg.norm(np.subtract(r["values"], r["exact"])) / np.linalg.norm(r["exact"]) for r in rows]
    return {
        "maps": len(rows),
        "relative error": float(np.median(relative)),
        "rms error": float(np.sqrt(np.mean(error**2))),
        "stderr": float(np.sqrt(np.mean(stderr**2))),
        "systematic": float(np.sqrt(np.mean(systematic**2))),
        "coverage": float(np.mean(np.abs(error) <= half)),
        "score": float(interval_scores(error, half).mean()) / best_constant_score(error),
        "warned": float(np.mean([bool(row["warnings"]) for row in rows])),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures of all pipelines as lines of text."""
    names = ("maps", "rel.err", "rms", "stderr", "system.", "cover", "score", "warned")
    lines = [f"{'n':>3} {'pipeline':<24}" + "".join(f"{name:>9}" for name in names)]
    sizes: list[Any] = [*sorted({row["n"] for row in rows}), "all"]
    for n in sizes:
        for name in dict.fromkeys(row["pipeline"] for row in rows):
            own = [row for row in rows if row["pipeline"] == name and n in (row["n"], "all")]
            s = summary(own)
            lines.append(
                f"{n:>3} {name:<24}{s['maps']:>9}{s['relative error']:>9.3f}{s['rms error']:>9.5f}{s['stderr']:>9.5f}"
                f"{s['systematic']:>9.5f}{s['coverage']:>9.3f}{s['score']:>9.2f}{s['warned']:>9.2f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure all pipelines and print the table after every circuit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=30, help="number of circuits of each size")
    parser.add_argument("--first", type=int, default=1000, help="seed of the first circuit")
    parser.add_argument("--qubits", type=int, nargs="+", default=[3, 4])
    parser.add_argument("--pipelines", nargs="+", default=["raw", "readout", "twirled", "extrapolated"])
    parser.add_argument("--processor", default="willow_pink")
    parser.add_argument("--gateset")
    parser.add_argument("--extra-noise", help="noise beyond the calibration, such as zz=0.05")
    parser.add_argument("--shots", type=int, default=1_000_000)
    parser.add_argument("--no-check", action="store_true", help="run no circuits with known answers beside the others")
    parser.add_argument("--out", help="file that the rows are appended to, one JSON object per line")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.first, arguments.first + arguments.maps):
        for n in arguments.qubits:
            check = False if arguments.no_check else None
            options = {"gateset": arguments.gateset, "extra_noise": arguments.extra_noise, "check": check}
            for row in measure(n, seed, arguments.pipelines, arguments.shots, arguments.processor, **options):
                rows.append(row)
                if arguments.out:
                    with open(arguments.out, "a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
        print(f"seed {seed}", file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
