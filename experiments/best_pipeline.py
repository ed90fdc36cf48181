"""14 Bars and Stripes on a virtual processor with all its noise: raw, readout corrected, twirled, and extrapolated as well.

Run `python -m experiments.best_pipeline`, or with `--quick` for 2 pictures. One model of 3 layers trained on noisy pictures,
clean pictures drawn at random, 10^6 shots a picture; a calibration of 40,000 shots is shared by all. Everything is simulated.
Prints the table: medians over pictures with 95% bootstrap intervals.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import calibration
import hattriq_cirq as hq
from experiments.compare import cosines, errors
from experiments.intervals import median_text
from experiments.subjects import trained
from hattriq_cirq.mitigation import Mitigation

PROCESSOR = "willow_pink"
SEED = 30  # of the model and the choice of pictures; nothing was tuned on it
SHOTS = 1_000_000
OPTIONS: dict[str, Mitigation | None] = {
    "none": None,
    "readout": calibration.Readout(),
    "twirling, readout": calibration.Pipeline([calibration.PauliTwirling(), calibration.Readout()]),
    "extrapolation, twirling, readout": calibration.Pipeline(
        [calibration.ZeroNoiseExtrapolation(), calibration.PauliTwirling(), calibration.Readout()]
    ),
}


def row(name: str, pictures: int) -> str:
    """One correction's line of the table."""
    clean = hq.datasets.load("bars_and_stripes")
    model, _ = trained("bars3", SEED)
    x = clean.amplitudes[np.random.default_rng(SEED).permutation(len(clean.amplitudes))[:pictures]]
    exact = hq.integrated_gradients(model, x, baseline=0).values
    engine = hq.virtual(PROCESSOR, seed=3)
    found = hq.integrated_gradients(
        model,
        x,
        baseline=0,
        estimator=hq.ResolvedHadamardTest(),
        engine=engine,
        shots=SHOTS,
        mitigation=OPTIONS[name],
    )
    columns = (errors(found.values, exact), cosines(found.values, exact), np.abs(found.completeness_gap))
    cost = found.cost
    return (
        f"| {name} | {' | '.join(map(median_text, columns))} | {cost.circuits + cost.mitigation_circuits} | "
        f"{cost.mitigation_shots:,} | {cost.variance_factor:.1f} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], prog="python -m experiments.best_pipeline")
    parser.add_argument("--quick", action="store_true", help="2 pictures, without extrapolation")
    chosen = parser.parse_args(arguments)
    names, pictures = (tuple(OPTIONS)[:3], 2) if chosen.quick else (tuple(OPTIONS), 14)
    print("| correction | relative L2 error | cosine | completeness gap | circuits | extra shots | variance, at most |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        print(row(name, pictures), flush=True)


if __name__ == "__main__":
    main()
