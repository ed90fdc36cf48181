"""Cores that this process may use, which can be fewer than those of the machine, and threads of linear algebra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


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
def _libraries() -> ThreadpoolController:
    """Return the control of the loaded libraries' threads, found once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
