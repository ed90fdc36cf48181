"""State preparation: exact and approximate amplitude encoding, on a free graph or on the edges of a processor."""

from hattriq_cirq._moved import keep_old_names
from hattriq_cirq.encoding.exact import Encoder, encode, encode_controlled, encode_joint, phase_operations, unit_vector

__all__ = ["Encoder", "encode", "encode_controlled", "encode_joint", "phase_operations", "unit_vector"]

keep_old_names(__name__)
