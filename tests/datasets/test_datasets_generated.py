"""Bars and stripes, planted pixels, and ground states of the Ising chain."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hattriq_cirq.datasets import Dataset, bars_and_stripes, ground_state, planted_pixel, tfim, xor_pixels

# bars and stripes


@pytest.mark.parametrize("side", [2, 3, 4])
def test_bars_and_stripes_has_all_patterns(side: int) -> None:
    bars, stripes = set(), set()
    for pixels in itertools.product([0, 1], repeat=side * side):
        rows = [pixels[side * i : side * (i + 1)] for i in range(side)]
        if all(row == rows[0] for row in rows):
            bars.add(pixels)
        if all(len(set(row)) == 1 for row in rows):
            stripes.add(pixels)
    expected = {-1: bars - stripes, 1: stripes - bars}
    assert len(expected[1]) == len(expected[-1]) == 2**side - 2

    data = bars_and_stripes(side)
    lit = (data.to_image(data.amplitudes).reshape(-1, side * side) > 0).astype(int)
    for label in (-1, 1):
        actual = [tuple(row) for row in lit[data.labels == label].tolist()]
        assert len(actual) == len(set(actual))
        assert set(actual) == expected[label]
    assert data.image_shape == ((4, 4) if side == 3 else (side, side))
    assert data.padding == ((0, 1, 0, 1) if side == 3 else (0, 0, 0, 0))


def test_bars_and_stripes_noise_excludes_the_padding() -> None:
    noisy, clean = bars_and_stripes(3, noise=0.2, copies=400), bars_and_stripes(3, copies=400)
    np.testing.assert_array_equal(noisy.labels, clean.labels)
    picture = noisy.to_image(noisy.amplitudes)
    lit = clean.to_image(clean.amplitudes) > 0
    # the norm is unknown after encoding, so compare lit and dark pixels: spread over mean is noise over 1
    scale = np.array([image[mask].mean() for image, mask in zip(picture, lit, strict=True)])
    dark = np.concatenate([image[~mask] / s for image, mask, s in zip(picture, lit, scale, strict=True)])
    assert dark.std() == pytest.approx(0.2, rel=0.03)
    outside = noisy.amplitudes.reshape(-1, 4, 4)
    assert not outside[:, 3].any()
    assert not outside[:, :, 3].any()


@pytest.mark.parametrize(("hold_out", "apart"), [("patterns", True), ("samples", False)])
def test_bars_and_stripes_hold_out(hold_out: str, apart: bool) -> None:
    data = bars_and_stripes(4, copies=5, hold_out=hold_out)
    assert len(data.labels) == 28 * 5
    trained, tested = ({row.tobytes() for row in part} for part in (data.x_train, data.x_test))
    assert trained.isdisjoint(tested) == apart


@pytest.mark.parametrize("changes", [{"side": 1}, {"side": 11}, {"noise": -1.0}, {"noise": np.nan}, {"copies": 0}])
def test_invalid_bars_and_stripes_arguments_are_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))}="):
        bars_and_stripes(**changes)


# planted truth


def accuracy_of_least_squares(data: Dataset, features: Callable[[Any], NDArray[np.float64]]) -> float:
    """Return the test accuracy of the least-squares classifier on features of x."""
    weights, *_ = np.linalg.lstsq(features(data.x_train), data.y_train.astype(float), rcond=None)
    return float(np.mean(np.sign(features(data.x_test) @ weights) == data.y_test))


def linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([x, np.ones(len(x))])


def quadratic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([x[:, i] * x[:, j] for i, j in itertools.combinations_with_replacement(range(x.shape[1]), 2)], 1)


@pytest.mark.parametrize("pixel", [0, 5, 7])
def test_planted_pixel_decides_the_label(pixel: int) -> None:
    data = planted_pixel(3, samples=600, pixel=pixel)
    power = data.amplitudes[:, pixel] ** 2
    np.testing.assert_array_equal(np.sign(2 * power - 1), data.labels)
    assert np.abs(2 * power - 1).min() >= 0.2 - 1e-9
    assert data.amplitudes.min() >= 0
    assert data.labels.sum() == 0
    assert data.truth is not None
    assert np.flatnonzero(data.truth).tolist() == [pixel]
    others = np.delete(data.amplitudes, pixel, axis=1)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert np.abs(others[data.labels > 0].mean(0) - others[data.labels < 0].mean(0)).max() < 0.05


@pytest.mark.parametrize("pixels", [(5, 10), (15, 0)])
def test_xor_pixels_need_a_quadratic_model(pixels: tuple[int, int]) -> None:
    data = xor_pixels(4, samples=2000, pixels=pixels)
    product = 2 * data.amplitudes[:, pixels[0]] * data.amplitudes[:, pixels[1]]
    np.testing.assert_array_equal(np.sign(product), data.labels)
    assert np.abs(product).min() > 0.54
    assert data.truth is not None
    assert np.flatnonzero(data.truth).tolist() == sorted(pixels)
    assert abs(accuracy_of_least_squares(data, linear) - 0.5) < 5 * 0.5 / np.sqrt(len(data.test))
    assert accuracy_of_least_squares(data, quadratic) == 1


def test_planted_images_are_as_square_as_possible() -> None:
    assert planted_pixel(3).image_shape == (2, 4)
    assert planted_pixel(1, pixel=1).image_shape == (1, 2)
    assert xor_pixels(6).image_shape == (8, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: planted_pixel(2), "n_qubits - 1"),
        (lambda: planted_pixel(0), "n_qubits=0"),
        (lambda: planted_pixel(samples=3), "samples=3"),
        (lambda: xor_pixels(pixels=(1, 1)), "must be different"),
        (lambda: xor_pixels(1), r"n_qubits=1 must lie in 2\.\.14"),
    ],
)
def test_invalid_planted_task_arguments_are_rejected(make: Callable[[], Dataset], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# transverse-field Ising chain


def kron(operators: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    product = np.eye(1)
    for operator in operators:
        product = np.kron(product, operator).astype(np.float64)
    return product


def dense_hamiltonian(n: int, g: float, periodic: bool) -> NDArray[np.float64]:
    one, x, z = np.eye(2), np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])
    total = np.zeros((2**n, 2**n))
    for i in range(n if periodic else n - 1):
        total -= kron([z if k in (i, (i + 1) % n) else one for k in range(n)])
    for i in range(n):
        total -= g * kron([x if k == i else one for k in range(n)])
    return total


@pytest.mark.parametrize("n", [3, 4, 7])
@pytest.mark.parametrize("boundary", ["periodic", "open"])
@pytest.mark.parametrize("g", [0.2, 0.9, 1.0, 1.8])
def test_ground_state_equals_dense_diagonalisation(n: int, boundary: Any, g: float) -> None:
    hamiltonian = dense_hamiltonian(n, g, boundary == "periodic")
    energy, state = ground_state(n, g, boundary)
    energies, states = np.linalg.eigh(hamiltonian)
    assert energy == pytest.approx(energies[0], abs=1e-11)
    np.testing.assert_allclose(hamiltonian @ state, energies[0] * state, atol=1e-10)
    assert state.min() >= 0
    np.testing.assert_allclose(state, state[::-1], atol=1e-12)  # even under the flip of all qubits
    if energies[1] - energies[0] > 1e-6:
        np.testing.assert_allclose(state, np.abs(states[:, 0]), atol=1e-7)
    assert ground_state(n, g, boundary)[1].tobytes() == state.tobytes()


@pytest.mark.parametrize("g", [0.3, 1.0, 1.7])
def test_ground_state_energy_of_free_fermions(g: float) -> None:
    n = 10  # even sector: momenta (2 j + 1) pi / n; Pfeuty, Annals of Physics 57 (1970) 79
    momenta = (2 * np.arange(n) + 1) * np.pi / n
    assert ground_state(n, g)[0] == pytest.approx(-np.sum(np.sqrt(1 + g * g - 2 * g * np.cos(momenta))), abs=1e-10)


def test_tfim_labels_fields_and_gap() -> None:
    data = tfim(4, samples=40, g_range=(0.4, 1.5), train_gap=0.3, seed=2)
    g = np.array(data.details["g"])
    assert data.labels.sum() == 0
    assert data.image_shape is None
    np.testing.assert_array_equal(data.labels, np.where(g < 1, 1, -1))
    assert g.min() >= 0.4
    assert g.max() <= 1.5
    assert np.abs(g[data.train] - 1).min() > 0.3
    assert np.abs(g[data.test] - 1).min() < 0.3
    for row, field in zip(data.amplitudes[:5], g[:5], strict=True):
        lowest = np.linalg.eigvalsh(dense_hamiltonian(4, field, True))[0]
        assert row @ dense_hamiltonian(4, field, True) @ row == pytest.approx(lowest, abs=1e-10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_qubits": 2}, "n_qubits=2"),
        ({"samples": 5}, "samples=5 must be even"),
        ({"g_range": (0.0, 2.0)}, "g_range="),
        ({"g_range": (1.1, 2.0)}, "g_range="),
        ({"train_gap": 0.8}, "train_gap=0.8"),
        ({"train_gap": -0.1}, "train_gap="),
        ({"boundary": "closed"}, "boundary='closed'"),
        ({"test_fraction": 0.0}, "test_fraction=0.0"),
        ({"seed": None}, "seed=None"),
        ({"samples": 10**12}, "samples=1000000000000"),
        ({"train_gap": "wide"}, "train_gap='wide'"),
        ({"test_fraction": None}, "test_fraction=None"),
        ({"g_range": 1}, "g_range=1"),
        ({"g_range": (0.5, "b")}, r"g_range\[1\]='b'"),
        ({"boundary": 1}, "boundary=1"),
    ],
)
def test_invalid_tfim_arguments_are_rejected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tfim(**changes)
    with pytest.raises(ValueError, match="g="):
        ground_state(4, 0.0)
