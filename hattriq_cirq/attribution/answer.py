"""The answer of an attribution in one sentence: what the model says of an input, and the features that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hattriq_cirq.foundation.arrays import normal_interval
from hattriq_cirq.foundation.display import clipped
from hattriq_cirq.foundation.text import rounded

if TYPE_CHECKING:
    from hattriq_cirq.attribution.result import Attribution

_NAME_LENGTH = 48  # characters of a name in a sentence


def answer_of(a: Attribution, count: int) -> str:
    """Return the sentence that answers why: the predicted class or the score, and the features with the largest share.

    Numbers that were measured have half of their 95% interval after them.

    Args:
        a: Attribution of one input.
        count: Number of features to name, at most.
    """
    top = [each for each in a.top(count) if each.value]
    says = verdict(a)
    if not top:
        return f"{says}; no feature has a part in it"
    low, high = a.interval()
    halves = [float(high[each.feature] - low[each.feature]) / 2 for each in top]
    shares = _with_errors([each.value for each in top], halves)
    named = ", ".join(f"{clipped(each.name, _NAME_LENGTH)} {share}" for each, share in zip(top, shares, strict=True))
    left = np.count_nonzero(a.values) - len(top)
    more = f", {left} smaller" if left else ""
    return f"{says}: {named}{more}{' (± half of 95% intervals)' if any(halves) else ''}"


def verdict(a: Attribution) -> str:
    """Return what the model says of one input: the predicted class with its probability, or the score with its class."""
    half = 0.0
    if a.f_input_stderr is not None:
        low, high = normal_interval(a.f_input, a.f_input_stderr, 0.95)
        half = float(high - low) / 2
    (score,) = _with_errors([float(a.f_input)], [half])
    attributed = None if a.target is None else _class(a, int(a.target))
    if a.predicted is None:
        decided = attributed if a.target is not None else _class_by_sign(a, half)
        of = "" if decided is None else f" of {decided}" if a.target is not None else f", {decided}"
        return f"score {score}{of}"
    chance = f"score {score}" if a.probability is None else f"p = {float(a.probability):.2f}"
    other = "" if a.target is None or int(a.target) == int(a.predicted) else f"; for {attributed}, score {score}"
    return f"predicted {_quoted(a, int(a.predicted))} ({chance}){other}"


def _class_by_sign(a: Attribution, half: float) -> str | None:
    """Return the class that a score with half of its interval decides between two named ones; None if it decides none."""
    head, classes = a.assumptions.head, None if a.contract is None else a.contract.classes
    if classes is None or len(classes) != 2 or head.startswith("softmax"):
        return None
    margin = float(a.f_input) - (0.5 if head.startswith("sigmoid") else 0.0)
    if abs(margin) <= half:
        return f"undecided between {_quoted(a, 0)} and {_quoted(a, 1)}"
    return _class(a, int(margin > 0))


def _class(a: Attribution, index: int) -> str:
    return f"class {_quoted(a, index)}"


def _quoted(a: Attribution, index: int) -> str:
    """Return the name of a class in quotes, or its index where the classes have no names."""
    name = clipped(a.class_name(index), _NAME_LENGTH)
    return name if a.contract is None or a.contract.classes is None else f"'{name}'"


def _with_errors(values: list[float], halves: list[float]) -> list[str]:
    """Return numbers as text, those that were measured with half of their interval."""
    least = min((half for half in halves if half), default=None)
    if least is None:
        return rounded(values)
    texts = rounded(values, least, digits=1)
    return [
        text + (f" ± {error.removeprefix('+')}" if half else "")
        for text, error, half in zip(texts, rounded(halves, least, digits=1), halves, strict=True)
    ]
