"""Progress bars of long phases, which functions at any depth draw if a caller asked for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from hattriq_cirq.foundation.display import printable
from hattriq_cirq.foundation.terminal import Stream

if TYPE_CHECKING:
    from tqdm import tqdm

_Item = TypeVar("_Item")
_is_shown: ContextVar[bool] = ContextVar("is_shown", default=False)
_phase: ContextVar[str] = ContextVar("phase", default="")  # that has a bar
_bars: WeakSet[Any] = WeakSet()  # that may be shown


@contextmanager
def progress_bars(shown: bool) -> Iterator[None]:
    """Show the bars of all phases within a block; blocks inside it cannot hide them.

    Args:
        shown: True to show them.
    """
    token = _is_shown.set(shown or _is_shown.get())
    try:
        yield
    finally:
        _is_shown.reset(token)


def track(items: Iterable[_Item], phase: str, unit: str, *, total: int | None = None) -> Iterator[_Item]:
    """Yield items with a progress bar, which is removed at the end.

    Args:
        items: Items.
        phase: Name of the phase, which stands before the bar.
        unit: Word for one item.
        total: Number of items; None takes their length.

    Example:
        >>> with progress_bars(False):
        ...     list(track([1, 2], "compile circuits", "circuit"))
        [1, 2]
    """
    if not _is_shown.get() or phase == _phase.get():
        yield from items
        return
    yield from progress_bar(shown=True, iterable=items, desc=phase, unit=unit, total=total, leave=False)


@contextmanager
def progress(phase: str, unit: str, *, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that advances the bar of a phase by a number of steps; the same phase inside it has no bar of its own.

    Args:
        phase: Name of the phase, which stands before the bar.
        unit: Word for one step.
        total: Number of steps.

    Example:
        >>> with progress("attribute inputs", "input", total=3) as advance:
        ...     _ = advance(3)
    """
    token = _phase.set(phase)
    try:
        with progress_bar(shown=_is_shown.get(), desc=phase, unit=unit, total=total, leave=False) as bar:
            yield bar.update
    finally:
        _phase.reset(token)


@contextmanager
def announced(phase: str) -> Iterator[None]:
    """Show the name of a phase without countable steps while it lasts.

    Args:
        phase: Name of the phase.

    Example:
        >>> with announced("read the journal"):
        ...     content = b"".join([b"1", b"2"])
    """
    if not _is_shown.get():
        yield
        return
    with progress_bar(shown=True, desc=phase, bar_format="{desc} ...", leave=False):
        yield


def say(line: str) -> None:
    """Print a line on standard error if bars are shown, beside them.

    Args:
        line: Text of one line.
    """
    if _is_shown.get():
        print_beside_bars(printable(line))


def is_shown() -> bool:
    """Return true if the bars of phases are shown."""
    return _is_shown.get()


def progress_bar(*, shown: bool, **options: Any) -> tqdm[Any]:
    """Return a progress bar on standard error; one that cannot be shown, or no longer, never stops the work.

    Args:
        shown: True shows the bar, if there is a standard error.
        options: Options of `tqdm`, such as `total`, `desc` and `unit`.
    """
    tqdm = _bars_of_front_end()
    stream = sys.stderr if isinstance(sys.stderr, Stream) else Stream(sys.stderr, keep_controls=True)
    if "desc" in options:
        options["desc"] = printable(options["desc"])
    bar = tqdm(file=stream, dynamic_ncols=True, disable=not shown or sys.stderr is None, **options)
    if not bar.disable:
        _bars.add(bar)
    return bar


def refresh_bars() -> bool:
    """Let the clocks of the bars that are shown go on, from any thread; return False if none is shown."""
    is_any = False
    for bar in list(_bars):
        with bar.get_lock():
            if not bar.disable:  # as it is once its end has begun
                is_any = True
                bar.refresh(nolock=True)
    return is_any


def _bars_of_front_end() -> type[tqdm[Any]]:
    """Return the bars of a notebook that can show widgets, and elsewhere those of a terminal."""
    if "ipykernel" in sys.modules and find_spec("ipywidgets") is not None:
        from tqdm.auto import tqdm as bars

        return bars
    from tqdm import tqdm

    return tqdm


def print_beside_bars(line: str) -> None:
    """Print a line on standard error; bars that are shown make room for it.

    Args:
        line: Text of one line.
    """
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)
