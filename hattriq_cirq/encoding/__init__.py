"""State preparation: exact and approximate amplitude encoding, for all pairs of qubits or on the edges of a graph."""

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.encoding.approximate import ApproximateEncoder, ApproximateEncoding, approximate_encoding, reweighting
from hattriq_cirq.encoding.connectivity import NeighbourEncoder
from hattriq_cirq.encoding.exact import Encoder, encode, encode_controlled, encode_joint, phase_operations, unit_vector

__all__ = [
    "ApproximateEncoder",
    "ApproximateEncoding",
    "Encoder",
    "NeighbourEncoder",
    "approximate_encoding",
    "encode",
    "encode_controlled",
    "encode_joint",
    "phase_operations",
    "reweighting",
    "unit_vector",
]

keep_old_names(__name__)
