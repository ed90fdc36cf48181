"""Learned models together: several observables, of one campaign or of several, with the covariance of all their errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, overload

import numpy as np

from hattriq_cirq.foundation.array_files import read_arrays, write_arrays
from hattriq_cirq.foundation.arrays import Array, FloatArray
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.checks import check_type
from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import Count, load, parse_json
from hattriq_cirq.foundation.text import quantity
from hattriq_cirq.models.coefficient_errors import campaigns_of, damping_roots, joint_covariance, joint_draws
from hattriq_cirq.models.learned import LearnedModel, Propagated
from hattriq_cirq.models.model import Model
from hattriq_cirq.models.pauli_strings import PauliObservable

_FORMAT = "hattriq_cirq.LearnedModels/1"


class _Meta(TypedDict):
    """JSON that saved learned models hold beside their arrays."""

    format: Literal["hattriq_cirq.LearnedModels/1"]
    count: Count


@dataclass(frozen=True, eq=False, repr=False)
class LearnedModels(Displayed, Frozen, Sequence[LearnedModel]):
    """Learned models of several observables of the same inputs: a sequence that knows the errors which they have in common.

    Observables of one campaign were read from the same shots, and their errors are correlated; errors of different campaigns
    are independent. `integrated_gradients` takes such a sequence, or a list of its elements, with a softmax head.

    Args:
        models: Learned models, each once, with the same number of qubits.

    Raises:
        ValueError: There is none, one is repeated, or their numbers of qubits differ.

    Example:
        >>> import cirq
        >>> import hattriq_cirq as hq
        >>> model = hq.ring_ansatz(2, layers=1)
        >>> heads = [model.with_observable(cirq.Z(q)) for q in model.qubits]
        >>> learned = hq.learn_observable(heads, engine=hq.cirq_simulator(seed=1), shots=20_000, seed=1)
        >>> len(learned), learned[1].record.observable
        (2, '1.0*Z(q(1))')
        >>> head, x = hq.Head("softmax", scale=3, target=1), [0.6, 0.8, 0, 0]
        >>> hq.integrated_gradients(learned, x, baseline=0, head=head).values.round(1) + 0
        array([ 0. , -0.5,  0. ,  0. ])
    """

    models: Sequence[LearnedModel]

    def __post_init__(self) -> None:
        super().__post_init__()
        for model in self.models:
            check_type(model, "models", LearnedModel, "learned models")
        if not self.models:
            raise ValueError("models is empty; give at least one LearnedModel")
        if len({each.n_qubits for each in self.models}) > 1:
            raise ValueError(
                f"the models have {[each.n_qubits for each in self.models]} qubits; give models of the same inputs"
            )
        places = [(each.share.campaign, each.share.position) if each.share else id(each) for each in self.models]
        if len(set(places)) < len(places):
            raise ValueError("a model is given twice; give each observable once")

    @overload
    def __getitem__(self, index: int) -> LearnedModel: ...
    @overload
    def __getitem__(self, index: slice) -> LearnedModels: ...
    def __getitem__(self, index: int | slice) -> LearnedModel | LearnedModels:
        """Return one of the models, or some of them together."""
        return LearnedModels(self.models[index]) if isinstance(index, slice) else self.models[index]

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[LearnedModel]:
        return iter(self.models)

    @property
    def campaigns(self) -> list[list[int]]:
        """Positions of the models of each campaign, whose errors are common."""
        return campaigns_of([each.errors for each in self.models])

    @property
    def damping_factors(self) -> FloatArray:
        """Factors of all observables for each independent error of their damping factors, (errors, models).

        Their relative deviations from 1 are one standard deviation each. Only the counts of folded circuits count.
        """
        errors = damping_roots([each.errors for each in self.models])
        return np.asarray(1 + errors[np.any(errors, axis=1)])

    def propagate(self, weights: Sequence[FloatArray]) -> Propagated:
        """Return quantities that are linear in all observables together, with the covariance of their errors.

        Args:
            weights: Derivatives of the quantities by the coefficients of each model, (values, strings) each, as for
                `LearnedModel.propagate`. The identity parts add nothing to the values.

        Raises:
            ValueError: The shapes do not match.

        Example:
            >>> import cirq
            >>> import hattriq_cirq as hq
            >>> model, x = hq.ring_ansatz(2, layers=1), np.array([0.6, 0.8, 0.0, 0.0])
            >>> heads = [model.with_observable(sign * cirq.Z(model.qubits[0])) for sign in (1, -1)]
            >>> learned = hq.learn_observable(heads, engine=hq.cirq_simulator(seed=1), shots=2_000, prior="none", seed=1)
            >>> total = learned.propagate([each.strings.bilinear(x, x) for each in learned])  # the sum of both maps is zero
            >>> bool(abs(total.values).max() < 1e-12 and total.stderr.max() < 1e-6)
            True
        """
        rows = [np.asarray(each, dtype=float) for each in weights]
        expected = [len(each.strings) for each in self.models]
        if [row.shape[1:] for row in rows] != [(count,) for count in expected] or len({len(row) for row in rows}) > 1:
            shapes = ", ".join(str(row.shape) for row in rows)
            raise ValueError(f"weights of shapes {shapes} must be (values, strings) with {expected} strings")
        values = sum((row @ each.coefficients for row, each in zip(rows, self.models, strict=True)), np.zeros(len(rows[0])))
        return Propagated(values, joint_covariance([each.errors for each in self.models], rows))

    def samples(self, count: int, *, seed: int) -> list[tuple[PauliObservable, ...]]:
        """Return observables that differ from the learned ones by random errors, for a parametric bootstrap.

        Args:
            count: Number of samples, each with one observable per model.
            seed: Random seed for the errors.
        """
        drawn = joint_draws([each.errors for each in self.models], count, seed=seed)
        every = (each.observables_with(errors) for each, errors in zip(self.models, drawn, strict=True))
        return list(zip(*every, strict=True))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the learned models to a new `.npz` file without loss; a file that exists raises FileExistsError."""
        arrays: dict[str, Array] = {"meta": np.array(json.dumps({"format": _FORMAT, "count": len(self)}))}
        for i, model in enumerate(self.models):
            arrays |= {f"{i}_{name}": array for name, array in model.to_arrays().items()}
        return write_new(path, lambda file: write_arrays(file, arrays))

    @classmethod
    def load(cls, path: str | os.PathLike[str], models: Sequence[Model] | None = None) -> LearnedModels:
        """Read learned models from a file that `save` wrote.

        Args:
            path: Path of the file.
            models: Models that they must have been learned from, in order; None for any.

        Raises:
            FileNotFoundError: The file does not exist.
            FileError: The file holds no learned models, or is damaged; a ValueError.
            ValueError: They were learned from other models.
        """
        content = read_arrays(path)
        try:
            if "meta" not in content:
                raise ValueError(f"array meta is missing, found {', '.join(content)}")
            count = load(_Meta, parse_json(str(content.pop("meta")), path), path)["count"]
            parts: list[dict[str, Array]] = [{} for _ in range(count)]
            for key, array in content.items():
                position, _, name = key.partition("_")
                parts[int(position)][name] = array
            learned = cls(tuple(LearnedModel.from_arrays(part, path) for part in parts))
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise FileError(f"{path} holds no saved learned models", problem_of(error)) from error
        if models is not None:
            if len(models) != len(learned):
                raise ValueError(f"{path} holds {quantity(len(learned), 'learned model')}, not {len(models)}")
            for each, model in zip(learned, models, strict=True):
                each.check_model(model)
        return learned

    def card(self) -> Card:
        """Return the observables with the size and the cost of each."""
        rows = []
        for model in self.models:
            shots = "exact" if model.record.shots is None else f"{model.record.shots:,}"
            rows.append((model.record.observable, len(model.strings), model.record.circuits, shots))
        return Card(self._title, (), ("observable", "strings", "circuits", "shots"), rows)

    @property
    def _title(self) -> str:
        return f"LearnedModels: {quantity(len(self), 'observable')} from {quantity(len(self.campaigns), 'campaign')}"

    def __repr__(self) -> str:
        lines = [line for model in self.models for line in repr(model).splitlines()]
        return printable("\n".join([self._title, *(f"  {line}" for line in lines)]), lines=True)
