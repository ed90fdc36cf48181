"""The answer of an attribution in one sentence: what the model says of an input, and the features that decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hattriq_cirq.foundation.contract import DataContract
from hattriq_cirq.foundation.display import clipped
from hattriq_cirq.foundation.text import rounded

_NAME_LENGTH = 48  # characters of a name in a sentence


@dataclass(frozen=True)
class Verdict:
    """Answer of a model to one input, without the features that decide.

    Args:
        score: Score of the input.
        half: Half of its 95% interval if it was measured, and 0 if it was computed.
        head: Head of the score as text.
        contract: Form of the data, with the names of the classes.
        target: Index of the class whose score it is; None for a score whose sign tells two classes apart.
        predicted: Index of the predicted class; None if it is not known.
        probability: Its probability; None if it is not known.

    Example:
        >>> str(Verdict(0.43, 0.0, "identity", DataContract(classes=("benign", "malignant"))))
        "score +0.43, class 'malignant'"
    """

    score: float
    half: float
    head: str
    contract: DataContract
    target: int | None = None
    predicted: int | None = None
    probability: float | None = None

    def __str__(self) -> str:
        """Return the predicted class with its probability, or the score with its class."""
        if self.predicted is not None:
            chance = f"score {self._score}" if self.probability is None else f"p = {self.probability:.2f}"
            return f"predicted {self._name(self.predicted)} ({chance})"
        if self.target is not None:
            return f"score {self._score} of class {self._name(self.target)}"
        return f"score {self._score}{self._decided}"

    def sentence(self, features: Sequence[tuple[str, float, float]], smaller: int) -> str:
        """Return the verdict with the features that decide.

        Args:
            features: Name, value and half of the interval of each of the largest features.
            smaller: Number of the other features with a share.
        """
        says = str(self)
        if self.predicted is not None and self.target not in (None, self.predicted):
            is_probability = self.probability is not None and self.head.startswith(("softmax", "sigmoid"))
            score = f"p = {self.score:.2g}" if is_probability else f"score {self._score}"
            says += f"; for class {self._name(self.target)}, {score}"
        if not features:
            return f"{says}; no feature has a part in it"
        names, values, halves = zip(*features, strict=True)
        shares = _with_errors(values, halves)
        named = ", ".join(f"{clipped(name, _NAME_LENGTH)} {share}" for name, share in zip(names, shares, strict=True))
        more = f", {smaller} smaller" if smaller else ""
        return f"{says}: {named}{more}{' (± half of 95% intervals)' if any(halves) else ''}"

    @property
    def _score(self) -> str:
        (text,) = _with_errors([self.score], [self.half])
        return text

    @property
    def _decided(self) -> str:
        """The class that the sign of the score decides between two named classes; empty if it decides none."""
        if self.contract.classes is None or len(self.contract.classes) != 2 or self.head.startswith("softmax"):
            return ""
        margin = self.score - (0.5 if self.head.startswith("sigmoid") else 0.0)
        if abs(margin) <= self.half:
            return f", undecided between {self._name(0)} and {self._name(1)}"
        return f", class {self._name(int(margin > 0))}"

    def _name(self, index: int | None) -> str:
        """Return the name of a class in quotes, or its index where the classes have no names."""
        name = clipped(self.contract.class_name(index or 0), _NAME_LENGTH)
        return name if self.contract.classes is None else f"'{name}'"


def _with_errors(values: Sequence[float], halves: Sequence[float]) -> list[str]:
    """Return numbers as text, those that were measured with half of their interval."""
    least = min((half for half in halves if half), default=None)
    if least is None:
        return rounded(values)
    texts, errors = (rounded(numbers, least, digits=1) for numbers in (values, halves))
    each = zip(texts, errors, halves, strict=True)
    return [text + (f" ± {error.removeprefix('+')}" if half else "") for text, error, half in each]
