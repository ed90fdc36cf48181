"""Names of the devices on which the same tests run: the strict Array API always, PyTorch and a GPU under their markers."""

from __future__ import annotations

import pytest

#: For `Device.of`: `pytest -m torch` and `pytest -m gpu` run the tests on the other ones.
DEVICES = [
    pytest.param("array_api_strict", id="strict"),
    pytest.param("torch", id="torch", marks=pytest.mark.torch),
    pytest.param("cuda", id="cuda", marks=pytest.mark.gpu),
]
