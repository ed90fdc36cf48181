"""Learned models of 28x28 images: maps at n = 10 on a virtual processor with all its noise, without preparing any input.

How near to the exact maps does a learned observable bring the maps of images of 784 pixels, from how many shots and strings?

The study of learned models for a model on 10 qubits. Circuits that prepare an image of this size have hundreds of two-qubit
gates and are not run.
"""

from __future__ import annotations

from experiments.studies.learned import study_of

STUDY = study_of("learned_28", __doc__, {"mnist01_28_grid": (10, 40)})
