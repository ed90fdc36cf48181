"""Devices that arrays lie on: main memory with NumPy, or a GPU with CuPy or PyTorch.

This is the only module that knows that there is more than NumPy. A kernel takes arrays and asks `namespace` for their
functions, those of the Array API; whoever calls it moves arrays to a `Device` and back, inside `Device.computing`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from hattriq_cirq.foundation.arrays import Array
from hattriq_cirq.foundation.checks import ArgumentTypeError, shown
from hattriq_cirq.foundation.machine import available_memory

#: Python packages of arrays; the last one has the functions of the standard and no others, for tests.
Library = Literal["numpy", "cupy", "torch", "array_api_strict"]

_INSTALL = "pip install 'hattriq_cirq[gpu]' installs PyTorch, or install CuPy for your version of CUDA"
_CUDA = re.compile(r"cuda(?::(\d+))?")


class DeviceError(OSError):
    """Device that does not exist, has too little memory, or failed; the message says what to do."""


@dataclass(frozen=True)
class Device:
    """Place where arrays lie and are computed.

    Args:
        library: Python package of its arrays.
        index: Number of the GPU; None for main memory.

    Example:
        >>> device = Device.of("cpu")
        >>> device.to_numpy(device.asarray([1.0, 2.0])), str(device)
        (array([1., 2.]), 'cpu')
    """

    library: Library = "numpy"
    index: int | None = None

    @classmethod
    def of(cls, device: object) -> Device:
        """Return the device that a text names, after a look whether it exists.

        Args:
            device: "cpu" for NumPy; "cuda" for the first GPU or "cuda:1" for another one, by CuPy if it is installed, else by
                PyTorch; "torch" for PyTorch in main memory; or a `Device`.

        Raises:
            ValueError: The text names no device.
            DeviceError: There is no such device, or no library for it.
        """
        if isinstance(device, Device):
            device._functions.check()
            return device
        if not isinstance(device, str):
            raise ArgumentTypeError(f"device={shown(device)} must be {_ADVICE}")
        if device == "cpu":
            return cls()
        if match := _CUDA.fullmatch(device):
            return _gpu(int(match[1] or 0))
        if device not in get_args(Library)[2:]:
            raise ValueError(f"device={device!r} must be {_ADVICE}")
        found = cls(device)  # type: ignore[arg-type]
        found._functions.check()
        return found

    @classmethod
    def holding(cls, x: object) -> Device:
        """Return the device that an array lies on; that of NumPy for everything else, such as a list.

        Raises:
            DeviceError: It is a PyTorch tensor on a device that has no double precision, or no numbers.

        Example:
            >>> str(Device.holding([1.0, 2.0]))
            'cpu'
        """
        library = type(x).__module__.partition(".")[0]
        return _LIBRARIES[library].holding(x) if library in _LIBRARIES else cls()

    @property
    def is_numpy(self) -> bool:
        """True for NumPy's arrays."""
        return self.library == "numpy"

    @property
    def xp(self) -> Any:
        """The functions of the Array API for its arrays."""
        return self._functions.namespace()

    def asarray(self, array: ArrayLike, dtype: DTypeLike | None = None) -> Any:
        """Return a NumPy array on this device; what is NumPy's stays as it is, if it has the type already.

        Args:
            array: Numbers in main memory.
            dtype: Type of the result; None for that of the array.
        """
        return self._functions.asarray(np.asarray(array, dtype=dtype))

    def to_numpy(self, array: Any) -> Array:
        """Return an array of this device as NumPy's."""
        return self._functions.to_numpy(array)

    def free_memory(self) -> int | None:
        """Return the number of bytes that arrays can still take, or None if it is not known."""
        return self._functions.free_memory()

    def synchronize(self) -> None:
        """Wait until everything that was begun on this device is computed."""
        self._functions.synchronize()

    @contextmanager
    def computing(self, what: str = "the computation") -> Iterator[None]:
        """Compute on this device inside; its failures become a `DeviceError` that says what failed and what to do.

        Args:
            what: Work that is done, for the message.
        """
        if self.is_numpy:
            yield
            return
        try:
            with self._functions.active():
                yield
        except self._functions.failures() as error:
            if self._functions.is_lack_of_memory(error):
                raise DeviceError(f"{what} needs more memory than {self} has free: {error}; {_SMALLER}") from error
            if not self._functions.is_failure(error):
                raise
            raise DeviceError(
                f"{self} failed during {what}: {' '.join(str(error).split())}; run it again, or use device='cpu'"
            ) from error

    def require(self, needed: int, what: str) -> None:
        """Refuse work that takes more memory than is free.

        Args:
            needed: Number of bytes.
            what: Work that needs them, for the message.

        Raises:
            DeviceError: Less memory is free.

        Example:
            >>> Device().require(2**20, "a state")
        """
        free = self.free_memory()
        if free is not None and needed > free:
            sizes = f"{needed / 2**30:,.1f} GiB of memory, {self} has {free / 2**30:,.1f} GiB"
            raise DeviceError(f"{what} needs {sizes}; {_SMALLER}")

    @property
    def title(self) -> str:
        """Name of the card, or main memory, and the library.

        Example:
            >>> Device().title
            'main memory with NumPy'
        """
        return self._functions.title()

    def describe(self) -> str:
        """Return the name and the free memory of the device, as far as they are known."""
        free = self.free_memory()
        return self.title + ("" if free is None else f", {free / 2**30:,.1f} GiB free")

    def __str__(self) -> str:
        if self.index is not None:
            return f"cuda:{self.index}"
        return "cpu" if self.is_numpy else self.library

    @property
    def _functions(self) -> _Functions:
        return _LIBRARIES[self.library](self.index)


#: Main memory with NumPy, which is compared by `is` where every microsecond counts.
CPU = Device()
_ADVICE = "'cpu', or a GPU, 'cuda' or 'cuda:1'"
_SMALLER = "give fewer inputs or a smaller circuit, precision='float32' where it is offered, or free memory of the device"


def namespace(x: Any) -> Any:
    """Return the functions of the Array API for an array.

    Example:
        >>> namespace(np.zeros(2)) is np
        True
    """
    return np if isinstance(x, np.ndarray) else Device.holding(x).xp


def gpus() -> list[Device]:
    """Return all GPUs that can be used.

    Raises:
        DeviceError: There is none; the message says what was looked for.
    """
    reasons = []
    for library in (_CuPy, _PyTorch):
        try:
            number = library(0).count()
        except DeviceError as error:
            reasons.append(str(error))
        else:
            return [Device(library.name, i) for i in range(number)]
    raise DeviceError(f"no GPU was found: {', '.join(reasons)}; {_INSTALL}; device='cpu' needs neither")


def _gpu(index: int) -> Device:
    found = gpus()
    if index >= len(found):
        raise DeviceError(f"device='cuda:{index}' does not exist; the devices are {', '.join(map(str, found))}")
    return found[index]


class _Functions(ABC):
    """Functions of one library of arrays, all that differs between libraries.

    Args:
        index: Number of the GPU; None for main memory.
    """

    name: Library

    def __init__(self, index: int | None = None) -> None:
        self.index = index

    @classmethod
    def holding(cls, x: Any) -> Device:
        """Return the device of an array of this library."""
        return Device(cls.name)

    def check(self) -> None:
        """Raise DeviceError if the device or the library is missing."""
        if self.index is not None and self.index >= self.count():
            raise DeviceError(f"device='cuda:{self.index}' does not exist; {_INSTALL}; device='cpu' needs neither")
        _module(self.name)

    def count(self) -> int:
        """Return the number of GPUs, at least 1.

        Raises:
            DeviceError: There is none, or the library is not installed.
        """
        raise DeviceError(f"{self.name} has no GPU")

    def namespace(self) -> Any:
        return _module(f"array_api_compat.{self.name}")

    @abstractmethod
    def asarray(self, array: Array) -> Any: ...

    @abstractmethod
    def to_numpy(self, array: Any) -> Array: ...

    def free_memory(self) -> int | None:
        return available_memory()

    def synchronize(self) -> None:
        """Wait for a GPU; main memory has nothing to wait for."""
        return

    def active(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def failures(self) -> tuple[type[BaseException], ...]:
        """Return the types of the errors among which are those of the device."""
        return (MemoryError,)

    def is_lack_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)

    def is_failure(self, error: BaseException) -> bool:
        """Return True for an error of the device, False for one of the program."""
        return False

    def title(self) -> str:
        return f"main memory with {self.name}"


class _NumPy(_Functions):
    name = "numpy"

    def namespace(self) -> Any:
        return np

    def asarray(self, array: Array) -> Any:
        return array

    def to_numpy(self, array: Any) -> Array:
        return np.asarray(array)

    def title(self) -> str:
        return "main memory with NumPy"


class _Strict(_Functions):
    name = "array_api_strict"

    def namespace(self) -> Any:
        return _module(self.name)

    def asarray(self, array: Array) -> Any:
        return self.namespace().asarray(array, copy=True)

    def to_numpy(self, array: Any) -> Array:
        return np.from_dlpack(array)


class _PyTorch(_Functions):
    name = "torch"

    @classmethod
    def holding(cls, x: Any) -> Device:
        if x.device.type == "cpu":
            return Device("torch")
        if x.device.type != "cuda":
            raise DeviceError(f"a tensor lies on the device {x.device}; move it to a GPU with CUDA or to the CPU, x.cpu()")
        return Device("torch", x.device.index)

    def count(self) -> int:
        number = int(_module("torch").cuda.device_count())
        if not number:
            built = _module("torch").version.cuda
            raise DeviceError("PyTorch sees no GPU" + ("" if built else " (it was built without CUDA)"))
        return number

    def asarray(self, array: Array) -> Any:
        return _module("torch").tensor(np.ascontiguousarray(array).reshape(array.shape), device=self._place)

    def to_numpy(self, array: Any) -> Array:
        return np.asarray(array.detach().resolve_conj().cpu().numpy())

    def free_memory(self) -> int | None:
        if self.index is None:
            return super().free_memory()
        cuda = _module("torch").cuda
        kept = cuda.memory_reserved(self.index) - cuda.memory_allocated(self.index)  # freed, but not given back
        return int(cuda.mem_get_info(self.index)[0] + kept)

    def synchronize(self) -> None:
        if self.index is not None:
            _module("torch").cuda.synchronize(self.index)

    @contextmanager
    def active(self) -> Iterator[None]:
        torch = _module("torch")
        with torch.no_grad(), nullcontext() if self.index is None else torch.cuda.device(self.index):
            yield

    def failures(self) -> tuple[type[BaseException], ...]:
        return (MemoryError, RuntimeError)

    def is_lack_of_memory(self, error: BaseException) -> bool:
        if isinstance(error, MemoryError | _module("torch").OutOfMemoryError):
            return True
        return "can't allocate memory" in str(error)

    def is_failure(self, error: BaseException) -> bool:
        return isinstance(error, getattr(_module("torch"), "AcceleratorError", ())) or "CUDA error" in str(error)

    def title(self) -> str:
        if self.index is None:
            return "main memory with PyTorch"
        return f"{_module('torch').cuda.get_device_name(self.index)} with PyTorch"

    @property
    def _place(self) -> str:
        return "cpu" if self.index is None else f"cuda:{self.index}"


class _CuPy(_Functions):
    name = "cupy"

    @classmethod
    def holding(cls, x: Any) -> Device:
        return Device("cupy", int(x.device.id))

    def count(self) -> int:
        cupy = _module("cupy")
        try:
            number = int(cupy.cuda.runtime.getDeviceCount())
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"CuPy sees no GPU ({error})") from error
        if not number:
            raise DeviceError("CuPy sees no GPU")
        return number

    def asarray(self, array: Array) -> Any:
        with self.active():
            return _module("cupy").asarray(array)

    def to_numpy(self, array: Any) -> Array:
        return np.asarray(_module("cupy").asnumpy(array))

    def free_memory(self) -> int | None:
        with self.active():
            cupy = _module("cupy")
            return int(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())

    def synchronize(self) -> None:
        with self.active():
            _module("cupy").cuda.runtime.deviceSynchronize()

    def active(self) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = _module("cupy").cuda.Device(self.index)
        return device

    def failures(self) -> tuple[type[BaseException], ...]:
        return (MemoryError, RuntimeError)

    def is_failure(self, error: BaseException) -> bool:
        return type(error).__module__.partition(".")[0] in ("cupy", "cupy_backends")

    def title(self) -> str:
        properties = _module("cupy").cuda.runtime.getDeviceProperties(self.index)
        return f"{properties['name'].decode()} with CuPy"


_LIBRARIES: dict[Library, type[_Functions]] = {each.name: each for each in (_NumPy, _CuPy, _PyTorch, _Strict)}


@cache
def _module(name: str) -> Any:
    """Return a module of a library of arrays.

    Raises:
        DeviceError: It is not installed, or cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) and error.name == package else f"fails ({error})"
        raise DeviceError(f"the library {package} {reason}") from error
