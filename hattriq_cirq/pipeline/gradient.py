"""The gradient of a quadratic form by the real and imaginary parts of its input's amplitudes: exact, learned or measured."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, NotRequired, TypedDict

import cirq
import numpy as np
from numpy.typing import ArrayLike

from hattriq_cirq.attribution.result import Cost
from hattriq_cirq.estimators.bilinear import BilinearTerm, Estimator
from hattriq_cirq.estimators.plan import Estimate, Quantity
from hattriq_cirq.execution.engine import Engine
from hattriq_cirq.foundation.array_files import read_arrays, write_arrays
from hattriq_cirq.foundation.arrays import (
    Array,
    FloatArray,
    binary_exponents,
    normal_interval,
    read_only,
    rescaled,
    times_power_of_2,
)
from hattriq_cirq.foundation.checks import check_flag, shown
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.files import write_new
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.foundation.numerics import with_numpy_defaults
from hattriq_cirq.foundation.reading import FileError, problem_of
from hattriq_cirq.foundation.schema import load, parse_json
from hattriq_cirq.models.learned import LearnedModel
from hattriq_cirq.models.model import Model, model_inputs
from hattriq_cirq.models.quadratic_form import QuadraticForm, check_quadratic_form, observable_action
from hattriq_cirq.pipeline.execute import MeasuredArrays
from hattriq_cirq.pipeline.mitigation import Mitigation, as_mitigation
from hattriq_cirq.pipeline.prepare import PreparedAttribution, as_shots, check_engine, check_together, check_unscaled

_ARRAYS = ("real", "imag", "real_stderr", "imag_stderr", "rare_stderr", "systematic", "covariance")
_NOT_EXACT = ("systematic", "covariance")  # arrays that a file may lack


class _Meta(TypedDict):
    """JSON that a saved gradient holds beside its arrays."""

    format: Literal["hattriq_cirq.Gradient/1"]
    cost: Cost
    notes: tuple[str, ...]
    contract: NotRequired[Any]


@dataclass(frozen=True, eq=False)
class Gradient(Frozen):
    """Gradient of F(x) = x' M x by the amplitudes x_k = c_k + i d_k, one input or a batch; all arrays are read-only.

    Args:
        real: Derivatives dF/dc_k = 2 Re(Mx)_k, (..., features).
        imag: Derivatives dF/dd_k = 2 Im(Mx)_k, (..., features).
        real_stderr: Standard error of each derivative by a real part, (..., features); 0 for an exact gradient.
        imag_stderr: Standard error of each derivative by an imaginary part, (..., features).
        rare_stderr: Standard deviation that outcomes too rare to have been counted add in intervals, (..., 2 features), see
            `Estimate.rare_stderr`; zeros for an exact gradient.
        systematic: Standard deviation of what noise and its correction may leave, (..., 2 features), see `Estimate.systematic`;
            None where nothing is known of it.
        cost: Cost on a quantum computer.
        notes: Findings of the engine and of a mitigation, one sentence each.
        covariances: Functions that return the covariance of each input, see `covariance`.
        contract: Data contract of the model, which names the features; None if it has none.

    Example:
        >>> import hattriq_cirq as hq
        >>> hq.gradient(hq.ring_ansatz(1, 0), [0.6, 0.8]).real
        array([ 1.2, -1.6])
    """

    real: FloatArray
    imag: FloatArray
    real_stderr: FloatArray
    imag_stderr: FloatArray
    rare_stderr: FloatArray
    systematic: FloatArray | None = None
    cost: Cost = field(default_factory=Cost)
    notes: tuple[str, ...] = ()
    covariances: tuple[Callable[[], FloatArray], ...] = field(default=(), repr=False)
    contract: DataContract | None = field(default=None, repr=False)

    @property
    def values(self) -> Array:
        """The gradient as complex numbers, dF/dc_k + i dF/dd_k = 2 (Mx)_k, (..., features)."""
        return np.asarray(self.real + 1j * self.imag)

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the real derivatives followed by the imaginary ones, (..., 2 features, 2 features).

        It is computed when it is read, without the systematic part of errors.
        """
        size = 2 * self.real.shape[-1]
        own = [each() for each in self.covariances]
        return read_only(np.array(own).reshape(*self.real.shape[:-1], size, size))

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Return the low and high ends of the intervals of all derivatives, as complex numbers (..., features).

        Real parts are those of the real derivatives, imaginary parts those of the imaginary ones.

        Args:
            level: Probability that an interval holds the exact derivative, between 0 and 1.
        """
        values, stderr = (
            np.concatenate(pair, axis=-1) for pair in ((self.real, self.imag), (self.real_stderr, self.imag_stderr))
        )
        ends = normal_interval(values, stderr, level, self.rare_stderr, self.systematic)
        n = self.real.shape[-1]
        low, high = (end[..., :n] + 1j * end[..., n:] for end in ends)
        return low, high

    def as_batch(self) -> Gradient:
        """Return the gradient with one axis of inputs."""
        flat = {name: each.reshape(-1, each.shape[-1]) for name in _ARRAYS[:-1] if (each := getattr(self, name)) is not None}
        return replace(self, **flat)

    def save(self, path: str | os.PathLike[str], *, covariance: bool = False) -> Path:
        """Write the gradient to a new `.npz` file; a file that exists raises FileExistsError.

        Args:
            path: Path of the file.
            covariance: True to compute and write the covariance as well, 4 features**2 numbers for each input.
        """
        check_flag(covariance, "covariance")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS if name != "covariance" or covariance}
        meta: dict[str, Any] = {"format": "hattriq_cirq.Gradient/1", "cost": asdict(self.cost), "notes": list(self.notes)}
        meta |= {} if self.contract is None else {"contract": self.contract.to_record()}
        content = {"meta": np.array(json.dumps(meta)), **{name: each for name, each in arrays.items() if each is not None}}
        return write_new(path, lambda file: write_arrays(file, content))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Gradient:
        """Read a gradient from a file that `save` wrote.

        Raises:
            FileNotFoundError: The file does not exist.
            FileError: The file is not a gradient, or is damaged; a ValueError.
        """
        try:
            content = read_arrays(path)
            if missing := [name for name in ("meta", *_ARRAYS) if name not in content and name not in _NOT_EXACT]:
                raise ValueError(f"arrays {', '.join(missing)} are missing, found {', '.join(content)}")
            meta = load(_Meta, parse_json(str(content.pop("meta")), path), path)
            shape = content["real"].shape
            _check_arrays(content, shape)
            contract = DataContract.from_record(meta["contract"]) if "contract" in meta else None
        except (TypeError, ValueError) as error:
            raise FileError(f"{path} is not a saved gradient", problem_of(error)) from error
        size, count = 2 * shape[-1], int(np.prod(shape[:-1], dtype=int))
        if "covariance" in content:
            rows = content.pop("covariance").reshape(count, size, size)
            covariances = tuple(_constant(row) for row in rows)
        else:
            is_exact = not (content["real_stderr"].any() or content["imag_stderr"].any())
            covariances = (_constant(np.zeros((size, size))) if is_exact else _not_saved(path),) * count
        return cls(**content, cost=meta["cost"], notes=meta["notes"], covariances=covariances, contract=contract)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write a new CSV file with one line per input and feature, input by input.

        Columns: input, feature, bits, name, unit; then for dF/dc_k, which is `real`, and for dF/dd_k, `imag`: the value, low
        and high, the ends of the 95% interval, stderr and systematic, the two parts of the error. The systematic part is empty
        where nothing is known of it.
        """
        n, contract = self.real.shape[-1], self.contract or DataContract()
        low, high = self.interval()
        parts = []
        for part, first in (("real", 0), ("imag", n)):
            own = None if self.systematic is None else self.systematic[..., first : first + n]
            ends = getattr(low, part), getattr(high, part)
            parts += [getattr(self, part), *ends, getattr(self, f"{part}_stderr"), own]
        unknown = [""] * n
        names = [[f"{k:0{(n - 1).bit_length()}b}", contract.feature_name(k, n), contract.unit(k)] for k in range(n)]

        def write(file: IO[bytes]) -> None:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
            writer = csv.writer(text, lineterminator="\n")
            kinds = ("", "_low", "_high", "_stderr", "_systematic")
            writer.writerow(["input", "feature", "bits", "name", "unit", *(p + k for p in ("real", "imag") for k in kinds)])
            for i, row in enumerate(np.ndindex(self.real.shape[:-1])):
                columns = [unknown if each is None else each[row].tolist() for each in parts]
                writer.writerows((i, k, *names[k], *numbers) for k, numbers in enumerate(zip(*columns, strict=True)))
            text.detach()

        return write_new(path, write)


def _check_arrays(content: dict[str, Array], shape: tuple[int, ...]) -> None:
    """Raise ValueError for an array of a file that this version does not know, or that is not of its shape."""
    size = 2 * shape[-1] if shape else 0
    both, covariance = (*shape[:-1], size), (*shape[:-1], size, size)
    wanted = dict.fromkeys(_ARRAYS, shape) | {"rare_stderr": both, "systematic": both, "covariance": covariance}
    for name, array in content.items():
        if name not in wanted or array.shape != wanted[name] or array.dtype.kind != "f" or not size:
            raise ValueError(f"array {name} of {array.dtype} numbers and shape {array.shape} does not belong to it")


def _constant(covariance: FloatArray) -> Callable[[], FloatArray]:
    return lambda: covariance


def _not_saved(path: str | os.PathLike[str]) -> Callable[[], FloatArray]:
    def covariance() -> FloatArray:
        raise ValueError(f"{path} was saved without the covariance; save it with covariance=True (--covariance)")

    return covariance


@with_numpy_defaults
def gradient(
    model: QuadraticForm,
    x: ArrayLike,
    *,
    estimator: Estimator | None = None,
    engine: Engine | cirq.Sampler | None = None,
    shots: int | None = None,
    mitigation: Mitigation[Any] | str | None = None,
    progress: bool = False,
    check: bool | None = None,
) -> Gradient:
    """Return the gradient of F(x) = x' M x by the real and imaginary parts of the amplitudes x_k = c_k + i d_k.

    These are the derivatives that integrated gradients average along a path (DiBrita et al., arXiv 2510.02497):
    dF/dc_k = 2 Re(Mx)_k and dF/dd_k = 2 Im(Mx)_k. With an estimator they are measured by its circuits: both are sums
    Re(conj(left_k) (M x)_k), with left_k = 2 and left_k = 2i.

    Args:
        model: `Model`; `LearnedModel`, whose errors the result carries; or another `QuadraticForm`.
        x: Input or batch of inputs, (..., features), real or complex, of any norm.
        estimator: Circuits that measure the gradient of a `Model`, such as `HadamardTest()`; None for the exact gradient, or
            that of a learned model.
        engine: Engine that runs the circuits, or any `cirq.Sampler`.
        shots: Number of shots per input, for all its circuits together; None for exact probabilities.
        mitigation: Correction of the outcomes: `calibration.Readout()`, or names, `twirl,readout`; None for none.
        progress: Show a progress bar over the inputs.
        check: Check of the errors by circuits with known answers, as in `integrated_gradients`.

    Returns:
        The gradient, in the shape of x.

    Raises:
        ValueError: The input is invalid, or the mitigation rescales maps.
        EngineError: The engine could not run the circuits.

    Example:
        >>> import hattriq_cirq as hq
        >>> model, x = hq.ring_ansatz(2, layers=1), [0.6, 0, 0, 0.8]
        >>> hq.gradient(model, x).real.round(6) + 0
        array([ 1.2,  0. ,  0. , -1.6])
        >>> engine = hq.qsim(seed=1)
        >>> measured = hq.gradient(model, x, estimator=hq.ResolvedHadamardTest(), engine=engine, shots=100_000)
        >>> bool(abs(measured.real - [1.2, 0, 0, -1.6]).max() < 5 * measured.real_stderr.max())
        True
    """
    check_quadratic_form(model)
    check_flag(progress, "progress")
    check_together(estimator, engine, as_shots(shots), as_mitigation(mitigation))
    if estimator is None or engine is None:
        inputs = model_inputs(model, x)
        found = _learned(model, inputs) if isinstance(model, LearnedModel) else _exact(model, inputs)
        return replace(found, contract=getattr(model, "contract", None))
    options: dict[str, Any] = {"mitigation": mitigation, "progress": progress, "check": check}
    return prepare_gradient(model, x, estimator=estimator, engine=engine, shots=shots, **options).execute()


@dataclass(frozen=True, eq=False)
class PreparedGradient:
    """Gradient of inputs by circuits, ready to run.

    Args:
        prepared: The run, in which each input measures the derivatives by the real parts, and those by the imaginary ones.
        shape: Shape of the inputs.
        exponents: Powers of 2 by which the inputs are scaled.
    """

    prepared: PreparedAttribution
    shape: tuple[int, ...]
    exponents: Array

    def execute(self) -> Gradient:
        """Run all circuits and return the gradient.

        Raises:
            EngineError: The engine could not run the circuits.
        """
        execution = self.prepared.run()
        every = zip(execution.estimates, execution.further, self.exponents, strict=True)
        found = [Estimate.joined([real, *more]).times_power_of_2(int(exponent)) for real, more, exponent in every]
        n = self.shape[-1]
        shape = (*self.shape[:-1], 2 * n)
        values, stderr, rare, systematic = MeasuredArrays.of(found, self.prepared.engine, self.prepared.shots, shape)
        return Gradient(
            values[..., :n],
            values[..., n:],
            stderr[..., :n],
            stderr[..., n:],
            np.zeros(shape) if rare is None else rare,
            systematic,
            execution.cost,
            execution.summary.notes,
            tuple(_covariance_of(each) for each in found),
            self.prepared.model.contract,
        )


@with_numpy_defaults
def prepare_gradient(
    model: QuadraticForm,
    x: ArrayLike,
    *,
    estimator: Estimator,
    engine: Engine | cirq.Sampler,
    shots: int | None,
    mitigation: Mitigation[Any] | str | None = None,
    progress: bool = False,
    check: bool | None = None,
) -> PreparedGradient:
    """Prepare a gradient by circuits without running anything; the arguments are those of `gradient`."""
    run_on, correction, number = check_engine(estimator, engine), as_mitigation(mitigation), as_shots(shots)
    if not isinstance(model, Model):
        raise ValueError(f"an estimator needs a Model, which has a circuit, not {type(model).__name__}")
    if estimator.measured is not None or estimator.part != "real":
        raise ValueError(
            f"estimator={shown(estimator)} must measure all data qubits and the real part: the imaginary derivatives are the "
            "real part for another left side"
        )
    inputs, n = model_inputs(model, x), model.n_features
    rows = inputs.reshape(-1, n)
    exponents = binary_exponents(rows)[:, 0]
    by_part = [
        [(BilinearTerm(np.full(n, left), times_power_of_2(row, -exponent)),) for left in (2.0, 2.0j)]
        for row, exponent in zip(rows, exponents, strict=True)
    ]
    terms = [real for real, _ in by_part]
    check_unscaled(correction, model, estimator, terms, "a gradient")
    further = [[Quantity(model, estimator, imaginary)] for _, imaginary in by_part]
    options: dict[str, Any] = {"progress": progress, "further": further, "check": check}
    prepared = PreparedAttribution(model, terms, estimator, run_on, number, correction, **options)
    return PreparedGradient(prepared, inputs.shape, exponents)


def _exact(model: QuadraticForm, inputs: Array) -> Gradient:
    exponents = binary_exponents(inputs)
    acted = 2 * observable_action(model, times_power_of_2(inputs, -exponents))
    acted = rescaled(acted, exponents, "a derivative of F")
    n, count = inputs.shape[-1], int(np.prod(inputs.shape[:-1]))
    nothing, both = np.zeros(inputs.shape), np.zeros((*inputs.shape[:-1], 2 * n))
    covariances = (lambda: np.zeros((2 * n, 2 * n)),) * count
    imag = acted.imag if np.iscomplexobj(acted) else nothing
    return Gradient(acted.real, imag, nothing, nothing, both, covariances=covariances)


def _learned(model: LearnedModel, inputs: Array) -> Gradient:
    """Return the gradient of a learned model, which is linear in its coefficients, with their errors."""
    exact, n = _exact(model, inputs), inputs.shape[-1]

    def weights(row: Array) -> FloatArray:
        lefts = np.full(n, 2.0), np.full(n, 2.0j)
        return np.concatenate([model.strings.bilinear(left, row) for left in lefts])

    rows = inputs.reshape(-1, n)
    both = np.array([model.errors_of(weights(row)) for row in rows])
    stderr, systematic = (both[:, i].reshape(*inputs.shape[:-1], 2 * n) for i in range(2))
    left_out = [model.left_out(part) for part in (exact.real, exact.imag)]
    systematic = np.hypot(systematic, np.concatenate(left_out, axis=-1))
    return Gradient(
        exact.real,
        exact.imag,
        stderr[..., :n],
        stderr[..., n:],
        np.zeros_like(stderr),
        systematic if systematic.any() else None,
        notes=model.record.notes,
        covariances=tuple(_deferred(model, weights, row) for row in rows),
    )


def _deferred(model: LearnedModel, weights: Callable[[Array], FloatArray], row: Array) -> Callable[[], FloatArray]:
    """Return the function that computes the covariance of a gradient without the systematic part of its errors."""

    def covariance() -> FloatArray:
        own = weights(row)
        found = model.propagate(own)
        if model.damping is None:
            return found.covariance
        return np.asarray(found.covariance - np.outer(found.values, found.values) * model.damping.stderr**2)

    return covariance


def _covariance_of(estimate: Estimate) -> Callable[[], FloatArray]:
    return lambda: estimate.covariance
