"""Captum's names for the arguments of integrated gradients: taken where they mean the same, and else explained by ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn, ParamSpec, TypeVar

from hattriq_cirq.attribution.objective import Head
from hattriq_cirq.foundation.checks import as_count, shown
from hattriq_cirq.foundation.numerics import with_numpy_defaults

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

#: Captum's method -> name of the same rule with the same number of steps.
RULES = {"gausslegendre": "gauss-legendre", "riemann_right": "riemann", "riemann_middle": "midpoint"}
_STEPS = 50  # Captum's default number of steps
#: Captum's argument -> what takes its place, in words.
NAMES = {
    "inputs": "x, the second argument",
    "baselines": "baseline, a number or an array",
    "target": "head, such as hq.Head('softmax', target=1)",
    "additional_forward_args": "the model's own parameters: model.with_params(...)",
    "n_steps": "rule='exact', which needs no steps, or a rule such as 'gauss-legendre:50'",
    "method": "rule='exact', or a rule such as 'gauss-legendre:50', 'riemann:50' or 'midpoint:50'",
    "internal_batch_size": "nothing: large batches are computed in parts; workers= sets the number of threads",
    "return_convergence_delta": "completeness_gap of the result",
}


def with_captum_names(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorate a public function as `with_numpy_defaults` does, so that it also takes Captum's names.

    Example:
        >>> with_captum_names(lambda x, *, baseline: x - baseline)(5, baselines=None)
        5
    """
    return with_numpy_defaults(function, renamed)


def renamed(arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return keyword arguments with Captum's names replaced by ours; None if there are none.

    Raises:
        TypeError: An argument of Captum has another meaning here, or none.

    Example:
        >>> renamed({"baselines": 0, "n_steps": 20, "method": "riemann_middle"})
        {'baseline': 0, 'rule': 'midpoint:20'}
    """
    given = {name: value for name, value in arguments.items() if name in NAMES}
    if not given:
        return None
    _check(given)
    ours = {name: value for name, value in arguments.items() if name not in NAMES}

    def set_ours(theirs: str, name: str, value: Any) -> None:
        if name in ours:
            raise TypeError(f"{theirs} and {name}={shown(ours[name])} say the same; leave out Captum's {theirs}") from None
        ours[name] = value

    if "inputs" in given:
        set_ours("inputs", "x", given["inputs"])
    if "baselines" in given:
        set_ours("baselines", "baseline", 0 if given["baselines"] is None else given["baselines"])
    if given.get("target") is not None:
        head = ours.pop("head", None)
        ours["head"] = replace(Head("linear") if head is None else head, target=given["target"])
    if "n_steps" in given or "method" in given:
        theirs = " and ".join(name for name in ("n_steps", "method") if name in given)
        method, steps = given.get("method", "gausslegendre"), given.get("n_steps", _STEPS)
        set_ours(theirs, "rule", f"{RULES[method]}:{as_count(steps, 'n_steps')}")
    return ours


def _check(given: dict[str, Any]) -> None:
    """Raise TypeError for values that have no meaning here."""
    for name, value in given.items():
        if name in ("inputs", "baselines", "target") and isinstance(value, tuple):
            _refuse(name, value, "one array takes the place of a tuple of them")
        if name in ("additional_forward_args", "internal_batch_size") and value is not None:
            _refuse(name, value)
        if name == "return_convergence_delta" and value is not False:
            _refuse(name, value)
    if (method := given.get("method", "gausslegendre")) not in RULES:
        _refuse("method", method, f"the rules that both have are {', '.join(RULES)}")


def _refuse(name: str, value: Any, reason: str = "") -> NoReturn:
    raise TypeError(
        f"{name}={shown(value)} is an argument of Captum; here its place is taken by {NAMES[name]}{reason and '; ' + reason}"
    ) from None
