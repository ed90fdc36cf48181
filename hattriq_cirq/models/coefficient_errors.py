"""Errors of measured coefficients: of one observable, and of several that were read from the same shots.

All errors are linear in independent numbers: the counts of each probe, what a prior forbids, the numbers that all probes share
and the counts of folded circuits. Observables of one campaign have the counts and the shared numbers in common. The covariance
of any quantities follows from these parts, and matrices of all coefficients of all observables are never formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import eye_array

from hattriq_cirq.foundation.arrays import FloatArray, read_only
from hattriq_cirq.foundation.frozen import Frozen
from hattriq_cirq.models.coefficient_fit import CoefficientFit, Damping


@dataclass(frozen=True, eq=False)
class CampaignShare(Frozen):
    """Errors that one observable of a campaign has in common with the others that were read from the same shots.

    Args:
        campaign: Digest of the outcomes of the campaign, which all its observables share.
        position: Position of this observable among them.
        outcomes: Covariance of each outcome of this observable with those of every observable in the same probe,
            (observables, probes).
        damping: Covariance of the relative error of its damping factor, as far as it comes from the counts of folded circuits,
            with that of every observable, (observables,); zeros if the damping was not measured.

    Raises:
        ValueError: The shapes do not match.
    """

    campaign: str
    position: int
    outcomes: FloatArray
    damping: FloatArray

    def __post_init__(self) -> None:
        count = len(self.damping)
        if self.outcomes.ndim != 2 or len(self.outcomes) != count or not 0 <= self.position < count:
            raise ValueError(f"{self.outcomes.shape=}, {self.damping.shape=} and {self.position=} must be of one campaign")
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class CoefficientErrors(Frozen):
    """Errors of the coefficients of one observable.

    Args:
        fit: Fit of its probes.
        damping: Damping factor by which the fitted coefficients were divided; None if it was not measured.
        share: What it has in common with other observables of its campaign; None if it was measured alone.

    Example:
        >>> from hattriq_cirq.models.coefficient_fit import ProbeOutcomes
        >>> from hattriq_cirq.models.pauli_strings import PauliStrings, ProductStates
        >>> strings, states = PauliStrings.from_text(["Z"]), ProductStates(PauliStrings.from_text(["Z"]), np.array([0]))
        >>> outcomes = ProbeOutcomes(states, np.array([0.5]), np.array([0.01]), np.zeros((1, 0)))
        >>> fit = CoefficientFit(strings, outcomes, np.array([0.01]), None)
        >>> share = CampaignShare("digest", 0, np.array([[0.01], [-0.01]]), np.zeros(2))
        >>> other = CampaignShare("digest", 1, np.array([[-0.01], [0.01]]), np.zeros(2))
        >>> both = [CoefficientErrors(fit, None, share), CoefficientErrors(fit, None, other)]
        >>> joint_covariance(both, [np.ones((1, 1)), np.ones((1, 1))])  # of the sum, whose errors cancel
        array([[0.]])
    """

    fit: CoefficientFit
    damping: Damping | None = None
    share: CampaignShare | None = None

    @property
    def factor(self) -> float:
        """Damping factor; 1 if it was not measured."""
        return 1.0 if self.damping is None else self.damping.factor

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the errors of the coefficients, (strings, strings), with that of the damping."""
        if self.damping is None:
            return self.fit.covariance
        raw, damping = self.fit.coefficients, self.damping
        turned = np.eye(len(raw)) - np.outer(raw, damping.gradient)
        shared = turned @ self.fit.shared
        own = turned @ (self.fit.covariance - self.fit.shared @ self.fit.shared.T) @ turned.T
        shared = shared - np.outer(raw, damping.shared)
        own += shared @ shared.T + np.outer(raw, raw) * damping.stderr**2
        return read_only(own / damping.factor**2)

    def parts_of(self, weights: FloatArray) -> _Parts:
        """Return the errors of quantities in independent parts; `weights` are their derivatives, (values, strings)."""
        fit, rows = self.fit, weights / self.factor
        damped = np.zeros(len(weights))
        if self.damping is not None:
            damped = rows @ fit.coefficients
            rows = rows - np.outer(damped, self.damping.gradient)
        gains = rows @ fit.gain
        shared = gains @ fit.outcomes.sensitivities
        if self.damping is not None:
            shared = shared - np.outer(damped, self.damping.shared)
        forbidden = np.zeros((len(weights), 0))
        if fit.prior is not None:
            missed = (rows - gains @ fit.table) * np.sqrt(fit.prior.spread)
            forbidden = np.concatenate([missed, fit.scaled(rows, gains)], axis=1)
        return _Parts(gains, forbidden, shared, damped)

    def outcomes_with(self, other: CoefficientErrors) -> FloatArray:
        """Return the covariances of the outcomes with those of an observable of the same campaign, (probes,)."""
        if self is other or self.share is None or other.share is None:
            return self.fit.outcomes.variances
        return np.asarray(self.share.outcomes[other.share.position])

    def damping_with(self, other: CoefficientErrors) -> float:
        """Return the covariance of the relative errors of both damping factors from the counts of folded circuits."""
        if self is other or self.share is None or other.share is None:
            return 0.0 if self.damping is None else self.damping.stderr**2
        return float(self.share.damping[other.share.position])


@dataclass(frozen=True, eq=False)
class _Parts(Frozen):
    """Errors of quantities, as derivatives by independent numbers or by those of a campaign.

    Args:
        gains: Derivatives by the outcomes of the probes, (values, probes).
        forbidden: Derivatives by numbers of variance 1 that belong to the prior of this observable, (values, numbers).
        shared: Derivatives by the numbers of variance 1 that all probes of the campaign share, (values, numbers).
        damped: Derivatives by the logarithm of the damping factor, (values,).
    """

    gains: FloatArray
    forbidden: FloatArray
    shared: FloatArray
    damped: FloatArray


def campaigns_of(errors: Sequence[CoefficientErrors]) -> list[list[int]]:
    """Return the positions of the observables of each campaign; those that were measured alone are one each."""
    found: dict[str | int, list[int]] = {}
    for i, each in enumerate(errors):
        found.setdefault(i if each.share is None else each.share.campaign, []).append(i)
    return list(found.values())


def joint_covariance(errors: Sequence[CoefficientErrors], weights: Sequence[FloatArray]) -> FloatArray:
    """Return the covariance of the errors of quantities that are linear in the coefficients of several observables.

    Args:
        errors: Errors of each observable, each observable once.
        weights: Derivatives of the quantities by the coefficients of each observable, (values, strings) each.

    Returns:
        Covariance, (values, values); errors of different campaigns are independent.
    """
    parts = [each.parts_of(rows) for each, rows in zip(errors, weights, strict=True)]
    total = sum((part.forbidden @ part.forbidden.T for part in parts), np.zeros((len(weights[0]),) * 2))
    for campaign in campaigns_of(errors):
        shared = sum((parts[i].shared for i in campaign[1:]), parts[campaign[0]].shared)
        total += shared @ shared.T
        for i in campaign:
            for j in campaign:
                total += (parts[i].gains * errors[i].outcomes_with(errors[j])) @ parts[j].gains.T
                total += errors[i].damping_with(errors[j]) * np.outer(parts[i].damped, parts[j].damped)
    return np.asarray(total)


def damping_roots(errors: Sequence[CoefficientErrors]) -> FloatArray:
    """Return the relative errors of all damping factors by independent numbers of variance 1, (numbers, observables).

    Only the counts of folded circuits count, which is the part that more shots of the other circuits leave.
    """
    found = np.zeros((len(errors), len(errors)))
    for campaign in campaigns_of(errors):
        own = [errors[i] for i in campaign]
        found[np.ix_(campaign, campaign)] = roots(np.array([[a.damping_with(b) for b in own] for a in own])).T
    return found


def joint_draws(errors: Sequence[CoefficientErrors], count: int, *, seed: int) -> list[FloatArray]:
    """Return random errors of the coefficients of several observables, (count, strings) each, for a parametric bootstrap.

    Args:
        errors: Errors of each observable, each observable once.
        count: Number of draws.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    found: dict[int, FloatArray] = {}
    for campaign in campaigns_of(errors):
        own = [errors[i] for i in campaign]
        outcomes = np.array([[a.outcomes_with(b) for b in own] for a in own])  # (observables, observables, probes)
        noise = np.einsum("pij,cpj->icp", roots(np.moveaxis(outcomes, -1, 0)), rng.normal(size=(count, *outcomes.shape[:0:-1])))
        factors = roots(np.array([[a.damping_with(b) for b in own] for a in own]))
        folded = factors @ rng.normal(size=(len(own), count))
        shared = rng.normal(size=(count, own[0].fit.shared.shape[1]))
        for k, (i, each) in enumerate(zip(campaign, own, strict=True)):
            found[i] = _draws(each, noise[k], shared, folded[k], rng)
    return [found[i] for i in range(len(errors))]


def _draws(
    errors: CoefficientErrors, noise: FloatArray, shared: FloatArray, folded: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return random errors of one observable, (count, strings), for those of its outcomes and of what it shares."""
    fit, damping = errors.fit, errors.damping
    drawn = noise @ fit.gain.T + shared @ fit.shared.T
    if fit.prior is not None:
        true = rng.normal(size=(len(noise), len(fit.strings))) * np.sqrt(fit.prior.spread)
        scaled = fit.scaled(eye_array(len(fit.strings), format="csr"), fit.gain)
        drawn += (fit.table @ true.T).T @ fit.gain.T - true + rng.normal(size=(len(noise), scaled.shape[1])) @ scaled.T
    if damping is None:
        return np.asarray(drawn)
    logarithm = drawn @ damping.gradient + shared @ damping.shared + folded
    return np.asarray((drawn - np.outer(logarithm, fit.coefficients)) / damping.factor)


def roots(covariances: FloatArray) -> FloatArray:
    """Return matrices L with L L' equal to covariances, (..., observables, observables)."""
    values, vectors = np.linalg.eigh(covariances)
    return np.asarray(vectors * np.sqrt(values.clip(0))[..., np.newaxis, :])
