"""Two-class data sets: generated tasks with known truth, images, quantum data, and the user's own tables.

Every function returns one frozen `Dataset`; `load` creates any of them from a short text.
"""

from hattriq_cirq.datasets.folder import image_folder
from hattriq_cirq.datasets.frame import read_frame
from hattriq_cirq.datasets.generated import bars_and_stripes, planted_pixel, random_states, xor_pixels
from hattriq_cirq.datasets.images import area_average, digits, fashion_mnist, idx_images, mnist, mnist_idx
from hattriq_cirq.datasets.registry import NAMES, load, load_inputs
from hattriq_cirq.datasets.split import stratified_draw, stratified_split
from hattriq_cirq.datasets.tfim import ground_state, tfim
from hattriq_cirq.datasets.user import read_inputs, read_table
from hattriq_cirq.datasets.value import Dataset, Inputs, from_features, from_images, unlabelled

__all__ = [
    "NAMES",
    "Dataset",
    "Inputs",
    "area_average",
    "bars_and_stripes",
    "digits",
    "fashion_mnist",
    "from_features",
    "from_images",
    "ground_state",
    "idx_images",
    "image_folder",
    "load",
    "load_inputs",
    "mnist",
    "mnist_idx",
    "planted_pixel",
    "random_states",
    "read_frame",
    "read_inputs",
    "read_table",
    "stratified_draw",
    "stratified_split",
    "tfim",
    "unlabelled",
    "xor_pixels",
]
