"""Measure a model once on a processor, then attribute every input on this computer, with errors.

$ python examples/learned_model.py
"""

import numpy as np

import hattriq_cirq as hq


def main(shots: int = 200_000, inputs: int = 20) -> hq.LearnedModel:
    """Plan and run a campaign on a virtual processor, test it, attribute test images, and return the learned model."""
    data = hq.datasets.load("digits:pair=3/5")
    model = hq.train(hq.ring_ansatz(6, layers=2), data.x_train, data.y_train, epochs=40, seed=0).model
    engine = hq.virtual("willow_pink", seed=1)
    plan = hq.plan_learning(model, engine=engine, inputs=data.x_train, shots=shots)
    print(plan)  # strings, probes, predicted error of a map
    learned = hq.learn_observable(model, engine=engine, shots=shots, inputs=data.x_train, seed=1)
    print(learned.held_out_test())  # does the fit describe the device?
    print(learned.compare(model))  # is it the observable of the model?
    x = data.x_test[:inputs]
    attribution = hq.integrated_gradients(learned, x, baseline=0)
    exact = hq.integrated_gradients(model, x, baseline=0).values
    error = np.linalg.norm(attribution.values - exact, axis=-1) / np.linalg.norm(exact, axis=-1)
    print(f"median relative error of {inputs} maps {np.median(error):.3f}")
    print(attribution[0])
    return learned


if __name__ == "__main__":
    main()
