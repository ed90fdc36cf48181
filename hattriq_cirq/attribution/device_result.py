"""Attributions of inputs on a device, whose maps stay there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.card import Card, Displayed
from hattriq_cirq.foundation.rows import beside, home


@dataclass(frozen=True, eq=False, repr=False)
class DeviceAttribution(Displayed):
    """An attribution of an array of CuPy or PyTorch: its maps and scores are arrays of the same kind on the same device.

    Everything else of an `Attribution`, such as `top`, `save` or the completeness gap, is asked of `numpy()`, for which the
    arrays come home once.

    Args:
        values: Signed share of each feature in f_input - f_baseline, (..., features).
        imag_values: Part of `values` that is due to the imaginary parts of the amplitudes, (..., features); None for real
            inputs.
        x: Inputs as they were given, (..., features).
        f_input: Score at the input, (...,).
        f_baseline: Score at the baseline, or its mean over the set, (...,).
        at_home: Function that returns the attribution with arrays of NumPy.

    Example:
        >>> import hattriq_cirq as hq
        >>> a = hq.integrated_gradients(hq.ring_ansatz(1, 0), [0.6, 0.8], baseline=0)
        >>> DeviceAttribution(a.values, None, a.x, a.f_input, a.f_baseline, lambda: a).top(1)
        [TopFeature(1, -0.64, '|1>', '')]
    """

    values: Any
    imag_values: Any
    x: Any
    f_input: Any
    f_baseline: Any
    at_home: Callable[[], Attribution]

    @classmethod
    def of_checked(cls, *, values: Any, imag_values: Any, x: Any, **further: Any) -> Attribution:
        """Return the attribution of an array of a device; arguments as those of `Attribution.of_checked`.

        Args:
            values: Maps on the device.
            imag_values: Part of the imaginary parts on the device; None for real inputs.
            x: Inputs as they were given.
            **further: Further arguments, with scores of NumPy.
        """
        f_input, f_baseline = (beside(values, np.array(further[name])) for name in ("f_input", "f_baseline"))

        def at_home() -> Attribution:
            imaginary = None if imag_values is None else home(imag_values)
            return Attribution.of_checked(values=home(values), imag_values=imaginary, x=np.array(home(x)), **further)

        return cast(Attribution, cls(values, imag_values, x, f_input, f_baseline, at_home))  # it answers as one

    def numpy(self) -> Attribution:
        """Return the same attribution with arrays of NumPy, for plots, files and tables."""
        return self._numpy

    @cached_property
    def _numpy(self) -> Attribution:
        return self.at_home()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.numpy(), name)

    def __len__(self) -> int:
        return len(self.numpy())

    def __getitem__(self, index: Any) -> Attribution:
        return self.numpy()[index]

    def card(self) -> Card:
        """Return the card of the attribution in NumPy."""
        return self.numpy().card()

    def __repr__(self) -> str:
        return repr(self.numpy())
