"""The verdict on each claim, from its interval and, under the shared rate, its intervals over the grid.

Reproduced: the interval lies wholly on the claimed side of the null. Contradicted: wholly on the other. Inconclusive:
neither. Depends on learning rate: some rates of the grid reproduce it and others contradict it. Not tested: nothing was
run, or the value is comparable on the paper's models only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple
from enum import StrEnum
from typing import NamedTuple

from intro.analysis.claims.records import Claim, Joint
from intro.analysis.data.results import SHARED_RATE, Results
from intro.analysis.stats.intervals import ROUNDING, Interval
from intro.config import Config

ANY = "any"  # protocol of a claim that no training enters
NOTHING = Interval(math.nan, math.nan, math.nan, "")


class Outcome(StrEnum):
    REPRODUCED = "reproduced"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    DEPENDS = "depends on learning rate"
    NOT_TESTED = "not tested"


class JudgedClaim(NamedTuple):
    """A row of claims.csv."""

    claim: str
    statement: str
    protocol: str
    estimand: str
    estimate: float
    ci_low: float
    ci_high: float
    verdict: str
    replicates: str


class ClaimAtRate(NamedTuple):
    """A row of compare/claims_grid.csv: a claim on the validation problems at one learning rate."""

    claim: str
    lr: float
    estimate: float
    ci_low: float
    ci_high: float
    verdict: str
    replicates: str


# ---------------------------------------------------------------- verdicts


def verdict(claim: Claim, interval: Interval | None) -> Outcome:
    """The verdict that an interval supports; a missing interval around an estimate supports none."""
    if interval is None:
        return Outcome.NOT_TESTED
    margin = ROUNDING + (claim.margin if claim.direction == "equal" else 0.0)
    least, most = claim.null - margin, claim.null + margin
    # every comparison with a missing end is false
    above, below = interval.low > most, interval.high < least
    within = least <= interval.low and interval.high <= most
    sides = {"above": (above, below), "below": (below, above), "equal": (within, above or below)}
    claimed, opposite = sides[claim.direction]
    return Outcome.REPRODUCED if claimed else Outcome.CONTRADICTED if opposite else Outcome.INCONCLUSIVE


def with_grid(chosen: Outcome, grid: Iterable[str]) -> Outcome:
    """The verdict at the chosen rate, unless some rates of the grid reproduce the claim and others contradict it."""
    seen = {str(chosen), *grid}
    return Outcome.DEPENDS if {Outcome.REPRODUCED, Outcome.CONTRADICTED} <= seen else chosen


def together(parts: Iterable[Outcome]) -> Outcome:
    """The verdict on a claim that all parts hold: one contradicted part contradicts it."""
    order = (Outcome.CONTRADICTED, Outcome.NOT_TESTED, Outcome.DEPENDS, Outcome.INCONCLUSIVE)
    given = set(parts)
    return next((decisive for decisive in order if decisive in given), Outcome.REPRODUCED)


def on_paper_models(config: Config) -> bool:
    """Whether the models are the paper's own, so that values and not only directions can be compared."""
    return all(name == model.stands_for for name, model in config.models.items())


def judge_grid(results: Results, claims: Iterable[Claim | Joint]) -> list[ClaimAtRate]:
    """Claims that a learning rate can decide, at every rate of the grid on its validation problems."""
    shared, rows = results.under(SHARED_RATE), []
    for lr in sorted(results.grid["lr"].dropna().unique()):
        at_rate = shared.at_rate(lr)
        for claim in claims:
            if isinstance(claim, Claim) and claim.rates == "grid":
                interval = claim.estimand(at_rate)
                *ends, replicates = astuple(interval or NOTHING)
                rows.append(ClaimAtRate(claim.name, lr, *ends, verdict(claim, interval), replicates))
    return rows


def _judge(claim: Claim, results: Results, grid: list[ClaimAtRate]) -> JudgedClaim:
    interval = claim.estimand(results)
    outcome = verdict(claim, interval)
    if claim.value_of == "paper models" and not on_paper_models(results.config):
        outcome = Outcome.NOT_TESTED
    # the shared rate might have been chosen differently; a tuned rate is already the best one of its method
    if results.protocol == SHARED_RATE and outcome is not Outcome.NOT_TESTED:
        outcome = with_grid(outcome, (row.verdict for row in grid if row.claim == claim.name))
    *ends, replicates = astuple(interval or NOTHING)
    return JudgedClaim(claim.name, claim.statement, results.protocol, claim.measure, *ends, outcome, replicates)


def _judge_joint(claim: Joint, protocol: str, rows: list[JudgedClaim]) -> JudgedClaim:
    outcome = together(Outcome(row.verdict) for row in rows if row.protocol == protocol and row.claim in claim.parts)
    measure = "joint: " + " and ".join(claim.parts)
    *ends, replicates = astuple(NOTHING)
    return JudgedClaim(claim.name, claim.statement, protocol, measure, *ends, outcome, replicates)


def judge(results: Results, claims: Iterable[Claim | Joint], grid: list[ClaimAtRate]) -> list[JudgedClaim]:
    """One row per claim, and per protocol where training enters the claim."""
    rows: list[JudgedClaim] = []
    for claim in claims:
        trained = isinstance(claim, Joint) or claim.needs == "training"
        for protocol in results.config.training.protocols if trained else [ANY]:
            if isinstance(claim, Joint):
                rows.append(_judge_joint(claim, protocol, rows))
            else:
                rows.append(_judge(claim, results.under(protocol), grid))
    return rows
