"""Data sets from a short text, as used by the command line and by experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hattriq_cirq.datasets.folder import image_folder
from hattriq_cirq.datasets.frame import SUFFIXES
from hattriq_cirq.datasets.generated import bars_and_stripes, planted_pixel, random_states, xor_pixels
from hattriq_cirq.datasets.images import digits, fashion_mnist, mnist, mnist_idx
from hattriq_cirq.datasets.tfim import tfim
from hattriq_cirq.datasets.user import read_for_model, read_inputs, read_table
from hattriq_cirq.datasets.value import Dataset, Inputs
from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.options import parse_options

_FUNCTIONS = (
    *(bars_and_stripes, digits, fashion_mnist, image_folder, mnist, mnist_idx, planted_pixel, random_states, tfim, xor_pixels),
)
_BUILDERS: dict[str, Callable[..., Dataset | Inputs]] = {function.__name__: function for function in _FUNCTIONS}
_SUFFIXES = (*SUFFIXES, ".npy")
_LABELLED = "give an .npz with arrays x and y, a .csv with a column of labels, or a folder of images for each class"
#: Names of the data sets that `load` can create.
NAMES: tuple[str, ...] = tuple(_BUILDERS)


def load(name: str, contract: DataContract | None = None) -> Dataset:
    """Return the data set that a text describes: "name" or "name:option=value,option=value".

    A slash separates the numbers of a tuple: "mnist:pair=3/5,size=16", "tfim:g_range=0.5/1.5". "digits:0,1" is short for
    "digits:pair=0/1". A path that ends in .csv, .tsv, .txt, .parquet or .npz is the user's own table, with the options of
    `read_table`: "my/data.csv" or "my/data.csv:label_column=y,missing=impute". A path of a folder is short for
    "image_folder:path=FOLDER".

    Args:
        name: One of NAMES or a path, and options by the argument names of the function that creates the data set.
        contract: Form of the data of a trained model that takes them: a table is then read as that of the training, its columns
            by their names. None reads a table for training.

    Returns:
        The data set.

    Raises:
        ValueError: The name or an option is unknown, or a value has the wrong type; the message lists the possibilities. Or the
            samples have no labels.

    Example:
        >>> load("planted_pixel:n_qubits=2,pixel=3").name
        'planted_pixel 3'
    """
    data = load_inputs(name, contract)
    if isinstance(data, Inputs):
        raise ValueError(f"{data.name} has no labels: it can be attributed, and nothing else; {_LABELLED}")
    return data


def load_inputs(name: str, contract: DataContract | None = None) -> Dataset | Inputs:
    """Return what `load` does, or samples without labels: of an .npy file, an .npz file without y, or images without classes.

    Args:
        name: Text as for `load`; the path of an .npy file with rows (samples, features); or that of a folder of images.
        contract: As for `load`.

    Returns:
        The data set, or inputs without labels.

    Raises:
        ValueError: The name or an option is unknown, or a value has the wrong type; the message lists the possibilities.

    Example:
        >>> import numpy as np
        >>> np.save("own.npy", [[3.0, 4.0]])
        >>> load_inputs("own.npy").amplitudes
        array([[0.6, 0.8]])
    """
    is_path = name.lower().endswith(_SUFFIXES) and name.partition(":")[0] not in _BUILDERS
    key, _, text = (name, "", "") if is_path else name.partition(":")
    if key in _BUILDERS:
        return _BUILDERS[key](**parse_options(_BUILDERS[key], key, text))
    if key.lower().endswith(_SUFFIXES):
        if (found := read_inputs(key, contract)) is not None:
            parse_options(read_inputs, key, text, "path", "contract")
            return found
        options = parse_options(read_table, key, text, "path")
        return read_table(key, **options) if contract is None else read_for_model(key, contract, options)
    if key and Path(key).is_dir():
        return image_folder(key, **parse_options(image_folder, key, text, "path"))
    raise ValueError(
        f"{name=} is not a data set; choose one of {', '.join(NAMES)}, or a path to a .csv, .tsv, .txt, .parquet, .npz or "
        "folder of images"
    )
