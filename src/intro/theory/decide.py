"""Exact decisions: is one closed form equal to another, for every policy?

Every expression here is built from token probabilities, so it is a rational function of them (plus logarithms and,
for the clip, absolute values). An equation is *proved* when the numerator of the difference is the zero polynomial once
each softmax's last probability is written as one minus the others, and *refuted* by a rational point where the
difference is exactly not zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from intro.theory.polynomial import numerator
from intro.types import IntroError

Gauge = Mapping[sp.Symbol, sp.Expr]  # last probability of a softmax -> one minus the others


@dataclass(frozen=True)
class Equation:
    """left = right, componentwise. `gap`, where given, is the closed form that left - right is said to have."""

    left: Any
    right: Any
    gauge: Gauge
    gap: Any = None
    at: Mapping[sp.Symbol, sp.Rational] = field(default_factory=dict)  # parameters of the witness, such as n

    def differences(self) -> list[sp.Expr]:
        return [a - b for a, b in zip(entries(self.left), entries(self.right), strict=True)]


@dataclass(frozen=True)
class Decision:
    """Outcome over all equations; the rest describes the first component found to differ most at the witness."""

    verdict: str  # "proved" or "refuted"
    size: sp.Expr | None = None
    witness: dict[str, str] | None = None
    rescaling: bool | None = None  # whether left is a multiple of right at the witness


def entries(value: Any) -> list[sp.Expr]:
    """The components of a scalar, a sequence or a sympy vector."""
    if isinstance(value, sp.MatrixBase):
        return list(value)
    return [sp.sympify(v) for v in value] if isinstance(value, (list, tuple)) else [sp.sympify(value)]


def is_zero(expression: sp.Expr, gauge: Gauge) -> bool:
    """Whether the difference of two sides vanishes identically, logarithms of distinct sums being independent."""
    if expression.has(sp.Min, sp.Max, sp.Abs):
        expression = expression.rewrite(sp.Abs).replace(sp.Abs, _absolute)
    if expression.has(sp.log):
        expression = expression.replace(sp.log, lambda x: sp.expand_log(sp.log(x), force=True))
    # Most identities hold before the constraint is used, in far fewer terms.
    return not numerator(expression, {}) or not numerator(expression, gauge)


def _absolute(argument: sp.Expr) -> sp.Expr:
    """|p a/b| = p |a|/b for positive p and b, so that absolute values of proportional arguments are one atom."""
    top, bottom = sp.fraction(sp.together(argument))
    return sp.Abs(sp.factor_terms(sp.expand(top))) / sp.Abs(bottom)


def decide(equations: Iterable[Equation]) -> Decision:
    """Prove all equations, or refute one of them by a witness (tried first, since it is cheap)."""
    for equation in equations:
        refutation = _refute(equation, attempt=0)
        if refutation is None and not all(is_zero(d, equation.gauge) for d in equation.differences()):
            refutation = next(filter(None, (_refute(equation, attempt) for attempt in range(1, 6))), None)
            if refutation is None:
                raise IntroError("theory: a difference is no zero polynomial, yet vanishes at six rational points")
        if refutation is not None:
            return refutation
    return Decision("proved")


def gap_holds(equation: Equation) -> bool:
    """Whether left - right is exactly the closed form that the equation names as its gap."""
    pairs = zip(equation.differences(), entries(equation.gap), strict=True)
    return all(is_zero(difference - gap, equation.gauge) for difference, gap in pairs)


def _refute(equation: Equation, attempt: int) -> Decision | None:
    """Both sides at a rational point, exactly; None where they agree there."""
    point = _rational_point(equation, attempt)
    left, right = ([_exact(e.xreplace(point)) for e in entries(side)] for side in (equation.left, equation.right))
    size = max((_exact(a - b) for a, b in zip(left, right, strict=True)), key=lambda gap: abs(float(gap)))
    if size == 0:
        return None
    return Decision("refuted", size, {str(k): str(v) for k, v in point.items()}, _parallel(left, right))


def _parallel(left: list[sp.Expr], right: list[sp.Expr]) -> bool | None:
    """Whether every 2x2 minor of two vectors is zero; None for scalars and for a zero right side."""
    pivot = next((i for i, b in enumerate(right) if _exact(b) != 0), None)
    if len(left) == 1 or pivot is None:
        return None
    return all(_exact(a * right[pivot] - b * left[pivot]) == 0 for a, b in zip(left, right, strict=True))


def _rational_point(equation: Equation, attempt: int) -> dict[sp.Symbol, sp.Rational]:
    """Small unequal probabilities per softmax; parameters in `at` as given, all others between 0 and 1."""
    fixed = dict(equation.at)
    for softmax, (last, rest) in enumerate(equation.gauge.items()):
        for index, p in enumerate(sorted(rest.free_symbols, key=str)):
            # 1, 2 and 4 fifteenths, in an order that turns with the softmax and with the attempt
            fixed[p] = sp.Rational(2 ** ((softmax + (1 + attempt % 2) * index + attempt // 2) % 3), 15)
        fixed[last] = rest.xreplace(fixed)
    free = {s for e in entries(equation.left) + entries(equation.right) for s in e.free_symbols}
    for index, symbol in enumerate(sorted(free - set(fixed), key=str)):
        fixed[symbol] = sp.Rational(1 + (3 * index + attempt) % 5, 7)
    return {s: v for s, v in fixed.items() if s in free}


def _exact(number: sp.Expr) -> sp.Expr:
    """The number, linear in logarithms, by those of primes: it vanishes only if every coefficient does."""
    return sp.expand(number.replace(sp.log, lambda x: sp.Add(*(k * sp.log(p) for p, k in sp.factorrat(x).items()))))
