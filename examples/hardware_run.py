"""A run on a processor that survives being stopped: start the same command again, and no shot is taken twice.

$ python examples/hardware_run.py runs/night  # a virtual processor
$ python examples/hardware_run.py runs/night my-project willow_pink  # a Google processor, with credentials
"""

import sys
from pathlib import Path

import calibration
import hattriq_cirq as hq


def main(folder: str, project: str | None = None, processor: str = "willow_pink") -> hq.Attribution:
    """Measure the maps of three inputs, with every job recorded below the folder, and return them."""
    journal = Path(folder) / "journal"
    if project is None:
        engine = hq.virtual(processor, seed=1, journal=journal)
    else:
        engine = hq.google(project, processor, journal=journal, max_shots=500_000, max_jobs=200)
    data = hq.datasets.load("bars_and_stripes:noise=0.2,copies=20")
    model = hq.train(hq.grid_ansatz(2, 2, layers=3), data.x_train, data.y_train, epochs=60, seed=0).model
    prepared = hq.prepare(
        model,
        data.x_test[:3],
        baseline=0,
        estimator=hq.ResolvedHadamardTest(),
        engine=engine,
        shots=20_000,
        mitigation=calibration.Readout(),
    )
    print(prepared.resources)  # circuits, shots, two-qubit gates, jobs, predicted fidelity: nothing has run yet
    attribution = prepared.execute()
    print(attribution)
    if not (Path(folder) / "maps.npz").exists():
        attribution.save(Path(folder) / "maps.npz")
    return attribution


if __name__ == "__main__":
    main(*sys.argv[1:])
