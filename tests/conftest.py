"""Settings shared by every test: hypothesis draws the same examples each time and never fails for being slow; fixtures."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],  # most examples grow from a seed, and seeds do not shrink
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return three processes for two cores, because tests of services and of killed runs wait; None where a number is set."""
    from hattriq_cirq.foundation.machine import available_cores

    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else available_cores() * 3 // 2


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without searching for garbage, and never search modules and tests for it, which all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a GPU where there is none."""
    if item.get_closest_marker("gpu") is not None:
        from hattriq_cirq.foundation.devices import DeviceError, gpus

        try:
            gpus()
        except DeviceError as missing:
            pytest.skip(str(missing))


@pytest.fixture(scope="module")
def gate_by_gate() -> Iterator[None]:
    """Let small models act gate by gate until many rows were multiplied, as large ones do."""
    from hattriq_cirq.simulation import evolved_observable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evolved_observable, "_MATRIX_AT_ONCE", 0)
        yield


@pytest.fixture(scope="module")
def small_pictures() -> Iterator[None]:
    """Paint none of the pictures that commands write, which takes a third of their time, in a module on other things."""
    import pages

    with pages.small_pictures():
        yield
