"""How much of the error of a map does a correction remove, and do its intervals hold? On a virtual processor.

$ python examples/mitigation_study.py
"""

import numpy as np

import calibration
import hattriq_cirq as hq

CORRECTIONS = {
    "none": None,
    "readout": calibration.Readout(),
    "twirling, readout": calibration.MitigationSequence([calibration.PauliTwirling(), calibration.Readout()]),
    "chosen by the library": "auto",
}


def main(inputs: int = 6, shots: int = 100_000) -> dict[str, float]:
    """Print a line for each correction, and return the median relative errors."""
    data = hq.datasets.load("bars_and_stripes:noise=0.2,copies=20")
    model = hq.train(hq.grid_ansatz(2, 2, layers=3), data.x_train, data.y_train, epochs=60, seed=0).model
    x = data.x_test[:inputs]
    exact = hq.integrated_gradients(model, x, baseline=0).values
    found = {}
    for name, mitigation in CORRECTIONS.items():
        measured = hq.integrated_gradients(
            model,
            x,
            baseline=0,
            estimator=hq.ResolvedHadamardTest(),
            engine=hq.virtual("willow_pink", seed=1),
            shots=shots,
            mitigation=mitigation,
        )
        error = np.linalg.norm(measured.values - exact, axis=-1) / np.linalg.norm(exact, axis=-1)
        low, high = measured.interval(0.95)
        covered = np.mean((low <= exact) & (exact <= high))
        found[name] = float(np.median(error))
        print(f"{name:22} median error {found[name]:.3f}, 95% intervals cover {covered:.2f}, {measured.cost.shots:,} shots")
    return found


if __name__ == "__main__":
    main()
