"""Cores that this process may use, which can be fewer than those of the machine, threads of linear algebra, and memory."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_KEPT_FREE = 2**28  # bytes of freed memory that are kept for the next arrays
_FROM_HEAP = 2**25  # bytes up to which an array takes its memory from there
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of these limits in glibc's malloc.h
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_MEMORY = Path("/proc/meminfo")


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the least of the cores of the machine, the affinity of the process (`taskset`), Python's own setting (`-X cpu_count`)
    and the quota of its control groups (containers, batch systems), rounded up.

    Example:
        >>> available_cores() >= 1
        True
    """
    process_cpu_count = getattr(os, "process_cpu_count", None)  # Python 3.13
    if process_cpu_count is not None:
        cores = process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count()
    return max(1, min([cores or 1, *map(ceil, _cpu_quotas())]))


def _cpu_quotas() -> list[float]:
    """Return the quotas, in cores, of the control groups that this process belongs to."""
    quotas = []
    for folder in _control_groups():
        words = _read(folder / "cpu.max").split()  # version 2: quota and period, or "max" and period
        words = words or [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[0]) and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return quotas


def available_memory() -> int | None:
    """Return the number of bytes that this process can still take without pushing others out, or None if it is not known.

    It is the least of what the system has available and what is left of the limits of the control groups.

    Example:
        >>> (available_memory() or 1) > 0
        True
    """
    fields = dict(line.split(":", 1) for line in _read(_MEMORY).splitlines() if ":" in line)
    kilobytes = fields.get("MemAvailable", "").split()
    free = [int(kilobytes[0]) * 1024] if kilobytes and kilobytes[0].isdigit() else []
    for folder in _control_groups():
        limit, used = (_read(folder / f"memory.{name}") for name in ("max", "current"))
        if limit.isdigit() and used.isdigit():
            reclaimed = re.search(r"^inactive_file (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
            free.append(max(0, int(limit) - int(used) + (int(reclaimed[1]) if reclaimed else 0)))
    return min(free, default=None)


def _control_groups() -> list[Path]:
    """Return the folders of the control groups that limit the cores of this process, each with all groups above it."""
    folders = {_CGROUPS: None, _CGROUPS / "cpu": None}
    for line in _read(_OWN_CGROUPS).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / "cpu" if controllers else _CGROUPS
        group = root / path.lstrip("/")
        folders |= dict.fromkeys(folder for folder in (group, *group.parents) if folder.is_relative_to(root))
    return list(folders)


def _read(path: Path) -> str:
    """Return the text of a file, or nothing if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold the linear algebra of this process to one thread: small products are slower on several.

    Example:
        >>> with one_blas_thread():
        ...     pass
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def keep_freed_memory() -> None:
    """Keep freed memory in this process for the next arrays, where the C library is glibc.

    By default glibc gives the memory of large arrays back as soon as they are freed, and the system fills every new one with
    zeros: steps that make arrays of megabytes take up to twice the processor time. Limits that the environment sets stay.

    Example:
        >>> keep_freed_memory()
    """
    if sys.platform != "linux" or not os.environ.keys().isdisjoint(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")):
        return
    with suppress(OSError, AttributeError):  # another C library
        set_limit = ctypes.CDLL(None).mallopt
        set_limit(_TRIM_THRESHOLD, _KEPT_FREE)
        set_limit(_MMAP_THRESHOLD, _FROM_HEAP)


@cache
def _libraries() -> ThreadpoolController:
    """Return the control of the loaded libraries' threads, found once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
