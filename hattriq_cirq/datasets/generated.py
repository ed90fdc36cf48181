"""Generated images whose classes, and in some cases whose deciding pixels, are known exactly."""

from __future__ import annotations

import numpy as np

from hattriq_cirq.datasets.split import SAMPLES_MAX, IntArray, stratified_split
from hattriq_cirq.datasets.value import Dataset, from_features, from_images
from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import as_count, as_counts, as_number, as_seed, as_word


def bars_and_stripes(
    side: int = 4, noise: float = 0.0, copies: int = 1, test_fraction: float = 0.3, hold_out: str = "samples", *, seed: int = 0
) -> Dataset:
    """Return all images of vertical bars (-1) and of horizontal stripes (+1), 2 * (2**side - 2) patterns.

    The empty and the full image are left out: they are both bars and stripes. If the side is not a power of 2, zeros are
    added at the bottom and right.

    Args:
        side: Number of pixels along a side, 2..10; the features are the smallest 2**a x 2**a that contains side x side.
        noise: Standard deviation of the Gaussian noise that is added to pixels of 0 and 1 (never to the padding).
        copies: Number of samples per pattern, each with its own noise.
        test_fraction: Share of the samples, or patterns, of each class in the test set, between 0 and 1.
        hold_out: `samples` to choose the test set from all samples, so that other copies of its patterns are in the training
            set; `patterns` to hold out whole patterns with all of their copies. Both are the same if copies is 1.
        seed: Random seed of the noise and of the split.

    Returns:
        The data set.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> data = bars_and_stripes(side=2)
        >>> data.name, data.amplitudes.shape
        ('bars_and_stripes 2x2', (4, 4))
    """
    side, copies, seed = as_count(side, "side", 2, 10), as_count(copies, "copies", 1, SAMPLES_MAX), as_seed(seed)
    noise = as_number(noise, "noise", minimum=0)
    as_word(hold_out, "hold_out", ("samples", "patterns"))
    lines = np.arange(1, 2**side - 1)[:, None] >> np.arange(side) & 1
    stripes = np.repeat(lines[:, :, None], side, axis=2).astype(np.float64)
    patterns = np.concatenate([stripes.transpose(0, 2, 1), stripes])
    classes = np.repeat([-1, 1], len(lines))
    if hold_out == "patterns":
        parts = stratified_split(classes, test_fraction, seed=seed)
        train, test = ((part[:, None] * copies + np.arange(copies)).ravel() for part in parts)
    else:
        train, test = stratified_split(np.repeat(classes, copies), test_fraction, seed=seed)
    images = np.repeat(patterns, copies, axis=0)
    images = images + noise * np.random.default_rng([seed, 1]).standard_normal(images.shape)
    edge = (1 << (side - 1).bit_length()) - side
    return from_images(
        images,
        np.repeat(classes, copies),
        padding=(0, edge, 0, edge),
        name=f"bars_and_stripes {side}x{side}",
        label_names=("bars (vertical)", "stripes (horizontal)"),
        split=(train, test),
        details={"noise": noise, "copies": copies, "test_fraction": test_fraction, "hold_out": hold_out, "seed": seed},
    )


def planted_pixel(
    n_qubits: int = 4, samples: int = 400, pixel: int = 5, test_fraction: float = 0.3, *, seed: int = 0
) -> Dataset:
    """Return random non-negative images labelled by one pixel: bright (+1) or dark (-1).

    The pixel has a share p of the squared norm: p ~ U(0.6, 0.9) if bright, p ~ U(0, 0.1) if dark. The rest is distributed over
    uniform random pixels. The sign of the quadratic form 2 x_pixel**2 - x'x = 2 p - 1 is therefore the label, with a margin of
    at least 0.2.

    Args:
        n_qubits: Number of qubits, 1..14; the image has 2**n_qubits pixels and is as square as possible.
        samples: Number of samples, half of each label, at least 4.
        pixel: Index of the deciding pixel, 0..2**n_qubits-1.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the images and of the split.

    Returns:
        The data set.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> data = planted_pixel(n_qubits=2, samples=10, pixel=3)
        >>> data.truth
        array([False, False, False,  True])
    """
    labels, rng = _sample_labels(n_qubits, samples, (pixel,), seed)
    share = np.where(labels > 0, rng.uniform(0.6, 0.9, samples), rng.uniform(0.0, 0.1, samples))
    background = 1.0 - rng.random((samples, 2 ** int(n_qubits)))
    x = _place_values(background, (pixel,), np.sqrt(share)[:, None])
    return _planted_dataset(x, labels, (pixel,), "planted_pixel", ("dark pixel", "bright pixel"), test_fraction, seed)


def xor_pixels(
    n_qubits: int = 4, samples: int = 400, pixels: tuple[int, int] = (5, 10), test_fraction: float = 0.3, *, seed: int = 0
) -> Dataset:
    """Return random signed vectors labelled by the sign of the product of two pixels, the XOR of their signs.

    The label is the sign of the quadratic form 2 x_a x_b; a linear model cannot exceed an accuracy of about 1/2, because every
    pixel has mean 0 in both classes. The two pixels have a share p ~ U(0.6, 0.9) of the squared norm, of which one has 0.3
    to 0.7, so that |2 x_a x_b| > 0.54; the rest is Gaussian.

    Args:
        n_qubits: Number of qubits, 2..14; the image has 2**n_qubits pixels and is as square as possible.
        samples: Number of samples, half of each label, at least 4.
        pixels: Indices of the two deciding pixels, different, 0..2**n_qubits-1.
        test_fraction: Share of each class in the test set, between 0 and 1.
        seed: Random seed of the vectors and of the split.

    Returns:
        The data set.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> data = xor_pixels(n_qubits=2, samples=10, pixels=(0, 3))
        >>> data.truth
        array([ True, False, False,  True])
    """
    labels, rng = _sample_labels(n_qubits, samples, pixels, seed)
    share, part = rng.uniform(0.6, 0.9, samples), rng.uniform(0.3, 0.7, samples)
    sign = rng.choice([-1, 1], samples)
    pair = np.stack([sign * np.sqrt(share * part), sign * labels * np.sqrt(share * (1 - part))], axis=1)
    x = _place_values(rng.standard_normal((samples, 2 ** int(n_qubits))), pixels, pair)
    return _planted_dataset(x, labels, pixels, "xor_pixels", ("opposite signs", "equal signs"), test_fraction, seed)


def _sample_labels(n_qubits: int, samples: int, pixels: tuple[int, ...], seed: int) -> tuple[IntArray, np.random.Generator]:
    """Check the arguments that the planted tasks share, and return balanced labels in random order."""
    pixels = as_counts(pixels, "pixels", minimum=None)
    n_qubits = as_count(n_qubits, "n_qubits", len(pixels), 14)
    advice = f"be 4 or more, at most {SAMPLES_MAX}: two of each label, to train and to test"
    samples = as_count(samples, "samples", 4, SAMPLES_MAX, advice=advice)
    if len(set(pixels)) != len(pixels) or min(pixels) < 0 or max(pixels) >= 2**n_qubits:
        raise ValueError(f"{pixels=} must be different and lie in 0..{2**n_qubits - 1} (2**n_qubits - 1)")
    rng = np.random.default_rng(as_seed(seed))
    return rng.permutation(np.where(np.arange(samples) % 2, 1, -1)), rng


def _place_values(background: Array, pixels: tuple[int, ...], values: Array) -> Array:
    """Return rows of norm 1 with values (samples, pixels) in the pixels and the rest scaled."""
    x = background.copy()
    x[:, pixels] = 0
    x *= np.sqrt(1 - np.sum(values**2, axis=1, keepdims=True)) / np.linalg.norm(x, axis=1, keepdims=True)
    x[:, pixels] = values
    return x


def _planted_dataset(
    x: Array, labels: IntArray, pixels: tuple[int, ...], name: str, classes: tuple[str, str], test_fraction: float, seed: int
) -> Dataset:
    """Return the data set of a planted task, with its truth mask and an image shape as square as possible."""
    n_qubits = x.shape[1].bit_length() - 1
    truth = np.zeros(x.shape[1], dtype=np.bool_)
    truth[list(pixels)] = True
    return from_features(
        x,
        labels,
        name=f"{name} {', '.join(map(str, pixels))}",
        label_names=classes,
        test_fraction=test_fraction,
        seed=seed,
        image_shape=(2 ** (n_qubits // 2), 2 ** ((n_qubits + 1) // 2)),
        truth=truth,
        details={"pixels": list(pixels), "seed": seed},
    )


def random_states(n_qubits: int, samples: int = 40, *, seed: int = 0) -> Dataset:
    """Return random dense real states, uniform on the sphere, whose labels alternate and mean nothing.

    They show what noise does to maps of inputs without structure.

    Args:
        n_qubits: Number of qubits, 1..20.
        samples: Number of samples, 4 or more; three of ten are test samples.
        seed: Random seed of the states and of the split.

    Returns:
        The data set.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> random_states(3, seed=1).amplitudes.shape
        (40, 8)
    """
    n_qubits, samples = as_count(n_qubits, "n_qubits", 1, 20), as_count(samples, "samples", 4, SAMPLES_MAX)
    rng = np.random.default_rng([as_seed(seed), n_qubits, 7])
    amplitudes = rng.standard_normal((samples, 2**n_qubits))
    labels = np.where(np.arange(samples) % 2, 1, -1)
    train, test = stratified_split(labels, 0.3, seed=seed)
    return Dataset(
        name=f"random_states {n_qubits}",
        amplitudes=amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True),
        labels=labels,
        train=train,
        test=test,
        details={"source": "generated by hattriq_cirq", "seed": int(seed)},
    )
