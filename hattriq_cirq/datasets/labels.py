"""Labels of two classes of any kind as -1 and +1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hattriq_cirq.datasets.columns import as_text
from hattriq_cirq.datasets.split import IntArray
from hattriq_cirq.foundation.text import decimal

_LISTED = 6  # labels in an error message
_MANY = 20  # different numbers from which labels are called measurements


def class_names_of(labels: Iterable[int], names: Sequence[str]) -> list[str]:
    """Return the name of the class of each label.

    Args:
        labels: Labels -1 and +1.
        names: Names of -1 and of +1, in this order.

    Example:
        >>> class_names_of([1, -1], ("no", "yes"))
        ['yes', 'no']
    """
    minus, plus = names
    return [plus if label > 0 else minus for label in labels]


def two_classes(
    y: Iterable[Any], positive: str | None = None, classes: Sequence[str] | None = None
) -> tuple[IntArray, tuple[str, str]]:
    """Return labels as -1 and +1, and what these mean.

    The smaller number, the text that is first in alphabetical order, and False are -1, whatever the order of the rows; the
    other is +1.

    Args:
        y: Labels: numbers, truth values or texts, none of them missing.
        positive: Label that is +1; None takes the larger.
        classes: Names of -1 and of +1 in a model that was trained; None to decide by the labels.

    Returns:
        Labels -1 and +1, (samples,), and the names of -1 and of +1.

    Raises:
        ValueError: There are more than two labels, one only, or others than those of the model.

    Example:
        >>> two_classes(["yes", "no", "yes"])
        (array([ 1, -1,  1]), ('no', 'yes'))
        >>> two_classes([0, 1], positive="0")
        (array([ 1, -1]), ('1', '0'))
    """
    texts = [as_text(value, row) for row, value in enumerate(y)]
    found = sorted(set(texts))
    numbers = [decimal(text) for text in found]
    if None not in numbers:
        found = [text for _, text in sorted(zip(numbers, found, strict=True))]
    listed = ", ".join(map(repr, found[:_LISTED])) + (", ..." if len(found) > _LISTED else "")
    if classes is not None:
        own = classes if not set(found) <= {"-1", "1"} else ("-1", "1")
        if unknown := [text for text in found if text not in own]:
            known = ", ".join(map(repr, own))
            raise ValueError(f"y holds the labels {listed}, and {unknown[0]!r} is not one of the classes of the model, {known}")
        names = own[0], own[1]
    else:
        if len(found) > _MANY and None not in numbers:
            raise ValueError(
                f"y holds {len(found)} different numbers, {listed}: measurements, no classes; write two classes, such as "
                "np.where(y > np.median(y), 'high', 'low')"
            )
        if len(found) > 2:
            raise ValueError(
                f"y holds {len(found)} labels, {listed}, and this takes two classes; use `hattriq explain` or "
                "hq.AmplitudeClassifier for more, or keep the rows of two"
            )
        if len(found) < 2:
            raise ValueError(f"y holds only the label {listed}: a two-class task needs two, such as -1 and +1")
        if positive is not None and positive not in found:
            raise ValueError(f"{positive=} is no label of the table, which has {listed}")
        names = (found[0], found[1]) if positive in (None, found[1]) else (found[1], found[0])
    labels = np.where(np.array(texts, dtype=object) == names[1], 1, -1).astype(np.int64)
    return labels, ("-1", "+1") if names == ("-1", "1") else names
