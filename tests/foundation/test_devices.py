"""Devices: their names, arrays that go there and back, and one clear error for each way to have none."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import DEVICES

from hattriq_cirq.foundation import devices, machine
from hattriq_cirq.foundation.devices import Device, DeviceError, gpus, namespace


@pytest.fixture(autouse=True)
def _modules_are_looked_up_anew() -> Iterator[None]:
    devices._module.cache_clear()
    yield
    devices._module.cache_clear()


class FakeMemoryError(RuntimeError):
    """Out of memory, as PyTorch says it."""


class FakeAcceleratorError(RuntimeError):
    """Failure of a GPU, as PyTorch says it."""


def fake_torch(gpus: int, cuda: str | None = "13.0") -> Any:
    memory = {"memory_reserved": lambda _: 300, "memory_allocated": lambda _: 100, "mem_get_info": lambda _: (1000, 5000)}
    used = {"device": lambda _: nullcontext(), "device_count": lambda: gpus, "get_device_name": lambda i: f"Card {i}"}
    return SimpleNamespace(
        cuda=SimpleNamespace(**memory, **used),
        version=SimpleNamespace(cuda=cuda),
        no_grad=nullcontext,
        OutOfMemoryError=FakeMemoryError,
        AcceleratorError=FakeAcceleratorError,
    )


@pytest.fixture
def no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.fixture
def two_cards(no_cupy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(2))


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, np.int64])
def test_arrays_go_to_a_device_and_back(name: str, dtype: type[np.generic]) -> None:
    device = Device.of(name)
    numbers = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)[::-1]
    numbers.flags.writeable = False
    there = device.asarray(numbers, dtype)
    back = device.to_numpy(there)
    assert back.dtype == dtype
    assert back.shape == (4, 2, 3)
    np.testing.assert_array_equal(back, numbers)
    assert Device.holding(there) == device
    assert namespace(there) is device.xp
    device.synchronize()
    assert device.to_numpy(device.asarray(np.array(2.0))).shape == ()


@pytest.mark.parametrize("name", ["cpu", *DEVICES])
def test_name_and_pickled_copy_give_the_same_device(name: str) -> None:
    device = Device.of(name)
    assert Device.of(str(device)) == device == pickle.loads(pickle.dumps(device)) == Device.of(device)
    assert (device.free_memory() or 1) > 0
    assert device.describe()


def test_default_device_leaves_arrays_of_numpy_as_they_are() -> None:
    array, device = np.ones(3), Device.of("cpu")
    assert device.is_numpy
    assert device.asarray(array) is array
    assert device.to_numpy(array) is array
    assert Device.holding([1.0]) == device == Device.holding(array.view(np.memmap)) == Device()
    assert device.xp is np
    assert namespace(array) is np
    with device.computing():
        pass


@pytest.mark.parametrize("wrong", ["gpu", "cuda:", "cuda:x", "CUDA", "numpy", "cupy", "", "cpu:0"])
def test_unknown_name_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"device='.*' must be 'cpu', or a GPU, 'cuda' or 'cuda:1'"):
        Device.of(wrong)


def test_value_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="device=0 must be 'cpu'"):
        Device.of(0)


def test_missing_libraries_are_named_with_the_way_to_install_one(no_cupy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DeviceError, match=r"no GPU was found: the library cupy .*, the library torch .*hattriq_cirq\[gpu\]"):
        Device.of("cuda")
    with pytest.raises(DeviceError, match=r"the library torch"):
        Device.of("torch")


def test_library_without_a_gpu_says_so(no_cupy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(0, cuda=None))
    with pytest.raises(DeviceError, match=r"PyTorch sees no GPU \(it was built without CUDA\)"):
        Device.of("cuda:1")
    with pytest.raises(DeviceError, match="PyTorch sees no GPU"):
        Device.of(Device("torch", 0))


def test_gpu_of_another_number_is_refused_with_those_that_exist(two_cards: None) -> None:
    assert gpus() == [Device("torch", 0), Device("torch", 1)]
    assert str(Device.of("cuda")) == "cuda:0"
    assert Device.of("cuda:1").describe() == "Card 1 with PyTorch, 0.0 GiB free"
    with pytest.raises(DeviceError, match="device='cuda:2' does not exist; the devices are cuda:0, cuda:1"):
        Device.of("cuda:2")
    with pytest.raises(DeviceError, match="device='cuda:2' does not exist"):
        Device.of(Device("torch", 2))


def test_cupy_is_preferred_and_its_error_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    class CUDARuntimeError(RuntimeError):
        """Error of CuPy."""

    def fail() -> int:
        raise CUDARuntimeError("cudaErrorNoDevice")

    monkeypatch.setitem(sys.modules, "torch", fake_torch(1))
    runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=lambda: 1)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    assert gpus() == [Device("cupy", 0)]
    runtime.getDeviceCount = fail
    assert gpus() == [Device("torch", 0)]
    monkeypatch.setitem(sys.modules, "torch", fake_torch(0))
    devices._module.cache_clear()
    with pytest.raises(DeviceError, match=r"CuPy sees no GPU \(cudaErrorNoDevice\), PyTorch sees no GPU;"):
        gpus()


def test_too_little_memory_is_stated_with_both_numbers(two_cards: None) -> None:
    device = Device("torch", 0)
    assert device.free_memory() == 1200
    device.require(1200, "a state")
    with pytest.raises(DeviceError, match=r"a state needs 2.0 GiB of memory, cuda:0 has 0.0 GiB; give fewer"):
        device.require(2**31, "a state")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            FakeMemoryError("tried to allocate"),
            "the sweep needs more memory than cuda:0 has free: tried to allocate",
        ),
        (
            FakeAcceleratorError("CUDA error: unspecified\n launch"),
            "cuda:0 failed during the sweep: .* unspecified launch",
        ),
        (RuntimeError("CUDA error: device lost"), "cuda:0 failed during the sweep: .*; run it again, or use device='cpu'"),
    ],
)
def test_failure_of_a_device_says_what_failed(failure: Exception, message: str, two_cards: None) -> None:
    with pytest.raises(DeviceError, match=message), Device("torch", 0).computing("the sweep"):
        raise failure


def test_error_of_the_program_is_no_failure_of_a_device(two_cards: None) -> None:
    with pytest.raises(RuntimeError, match="shapes") as caught, Device("torch", 0).computing():
        raise RuntimeError("shapes differ")
    assert not isinstance(caught.value, DeviceError)


def test_tensor_on_an_unknown_device_is_refused() -> None:
    tensor = type("Tensor", (), {"__module__": "torch", "device": SimpleNamespace(type="mps", __str__=lambda _: "mps:0")})()
    with pytest.raises(DeviceError, match="move it to a GPU with CUDA or to the CPU"):
        Device.holding(tensor)


def test_free_memory_by_the_limits_of_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CGROUPS", "_OWN_CGROUPS", "_MEMORY"):
        monkeypatch.setattr(machine, name, tmp_path / name)
    assert machine.available_memory() is None
    (tmp_path / "_MEMORY").write_text("MemTotal: 9 kB\nMemAvailable:   7 kB\n")
    assert machine.available_memory() == 7 * 1024
    (tmp_path / "_CGROUPS").mkdir()
    for name, text in {"max": "6000\n", "current": "4000\n", "stat": "anon 1\ninactive_file 500\n"}.items():
        (tmp_path / "_CGROUPS" / f"memory.{name}").write_text(text)
    assert machine.available_memory() == 2500
    (tmp_path / "_CGROUPS" / "memory.max").write_text("max\n")
    assert machine.available_memory() == 7 * 1024
