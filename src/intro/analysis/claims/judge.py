"""The verdict on each claim, from its interval alone.

Reproduced: the interval lies wholly on the claimed side of the null. Contradicted: wholly on the other. Depends
on learning rate: some rates of the grid reproduce it and others contradict it. Not tested: nothing was run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from enum import StrEnum

import pandas as pd

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


@dataclass(frozen=True, slots=True)
class JudgedClaim:
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


@dataclass(frozen=True, slots=True)
class ClaimAtRate:
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
    low, high = interval.low, interval.high
    if math.isnan(low) or math.isnan(high):
        return Outcome.INCONCLUSIVE
    if claim.direction == "equal":
        inside = claim.null - claim.margin - ROUNDING <= low and high <= claim.null + claim.margin + ROUNDING
        outside = high < claim.null - claim.margin - ROUNDING or low > claim.null + claim.margin + ROUNDING
    else:
        above, below = low > claim.null + ROUNDING, high < claim.null - ROUNDING
        inside, outside = (above, below) if claim.direction == "above" else (below, above)
    if inside:
        return Outcome.REPRODUCED
    return Outcome.CONTRADICTED if outside else Outcome.INCONCLUSIVE


def with_grid(chosen: Outcome, grid: Iterable[str]) -> Outcome:
    """The verdict at the chosen rate, unless some rates of the grid reproduce the claim and others contradict it."""
    seen = {str(chosen), *grid}
    return Outcome.DEPENDS if {Outcome.REPRODUCED, Outcome.CONTRADICTED} <= seen else chosen


def together(parts: Iterable[Outcome]) -> Outcome:
    """The verdict on a claim that all parts hold: one contradicted part contradicts it."""
    parts = list(parts)
    for decisive in (Outcome.CONTRADICTED, Outcome.NOT_TESTED, Outcome.DEPENDS, Outcome.INCONCLUSIVE):
        if decisive in parts:
            return decisive
    return Outcome.REPRODUCED


def on_paper_models(config: Config) -> bool:
    """Whether the models are the paper's own, so that values and not only directions can be compared."""
    return all(name == model.stands_for for name, model in config.models.items())


def judge_grid(results: Results, claims: Iterable[Claim | Joint]) -> list[ClaimAtRate]:
    """Claims that a learning rate can decide, at every rate of the grid on its validation problems."""
    shared = results.under(SHARED_RATE)
    rates = sorted(results.grid["lr"].dropna().astype(float).unique())
    rows = []
    for lr in rates:
        at_rate = shared.at_rate(lr)
        for claim in claims:
            if isinstance(claim, Claim) and claim.rates == "grid":
                found = claim.estimand(at_rate)
                shown = found or NOTHING
                ends = (shown.value, shown.low, shown.high)
                rows.append(ClaimAtRate(claim.name, lr, *ends, verdict(claim, found), shown.replicates))
    return rows


def _judge(claim: Claim, results: Results, grid: list[ClaimAtRate]) -> JudgedClaim:
    found = claim.estimand(results)
    outcome = verdict(claim, found)
    if claim.value_of == "paper models" and not on_paper_models(results.config):
        outcome = Outcome.NOT_TESTED
    # the shared rate might have been chosen differently; a tuned rate is already the best one of its method
    if results.protocol == SHARED_RATE and outcome is not Outcome.NOT_TESTED:
        outcome = with_grid(outcome, (row.verdict for row in grid if row.claim == claim.name))
    shown = found or NOTHING
    ends = (shown.value, shown.low, shown.high)
    return JudgedClaim(claim.name, claim.statement, results.protocol, claim.measure, *ends, outcome, shown.replicates)


def _judge_joint(claim: Joint, protocol: str, rows: list[JudgedClaim]) -> JudgedClaim:
    parts = [row for row in rows if row.protocol == protocol and row.claim in claim.parts]
    outcome = together(Outcome(row.verdict) for row in parts)
    measure = "joint: " + " and ".join(claim.parts)
    nothing = (NOTHING.value, NOTHING.low, NOTHING.high)
    return JudgedClaim(claim.name, claim.statement, protocol, measure, *nothing, outcome, "")


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


def claims_frame(rows: list[JudgedClaim]) -> pd.DataFrame:
    """claims.csv."""
    return pd.DataFrame([astuple(row) for row in rows], columns=[f.name for f in fields(JudgedClaim)])


def grid_frame(rows: list[ClaimAtRate]) -> pd.DataFrame:
    """compare/claims_grid.csv."""
    return pd.DataFrame([astuple(row) for row in rows], columns=[f.name for f in fields(ClaimAtRate)])
