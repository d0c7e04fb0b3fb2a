"""The decision procedure on expressions whose answer is known."""

from __future__ import annotations

import pytest
import sympy as sp
from sympy import Abs, Max, Min, Rational, log

from intro.theory.decide import Equation, decide
from intro.theory.polynomial import numerator

a, b, c = sp.symbols("a b c", positive=True)
GAUGE = {c: 1 - a - b}

TRUE = [
    (1 / (1 / a + 1 / b), a * b / (a + b)),  # nested denominators
    ((a + b) ** -3 * (a + b), (a + b) ** -2),
    (a + b + c, 1),  # only by the constraint
    (log(a * b / (a + b)), log(a) + log(b) - log(a + b)),
    (log(1 / a), -log(a)),
    (a * Min(b / a, 2), Min(b, 2 * a)),
    (Min(a, b) + Max(a, b), a + b),
    (Abs(a - b), Abs(b - a)),
    (Rational(1, 3) * a + Rational(2, 3) * a, a),
    (1 / (1 - a), 1 / (b + c)),
]
FALSE = [
    (1 / (1 / a + 1 / b), a + b),
    (a + b, 1),
    (log(a + b), log(a) + log(b)),
    (log(a) + log(b), log(a)),
    (Min(a, 2 * b), a),
    (Abs(a - b), a - b),
    (a, a + Rational(1, 10**30)),  # exact: no tolerance
    (log(2), Rational(69314718055994530941723212146, 10**29)),
]


@pytest.mark.parametrize(("left", "right"), TRUE, ids=str)
def test_proved(left, right):
    assert decide([Equation(left, right, GAUGE)]).verdict == "proved"


@pytest.mark.parametrize(("left", "right"), FALSE, ids=str)
def test_refuted(left, right):
    decision = decide([Equation(left, right, GAUGE)])
    assert decision.verdict == "refuted" and decision.size != 0


def test_one_false_equation_among_true_ones_refutes():
    assert decide([Equation(a, a, GAUGE), Equation([a, b], [a, 2 * b], GAUGE)]).verdict == "refuted"


def test_the_witness_reproduces_the_size():
    left, right = a / (a + b) + log(a), b
    decision = decide([Equation(left, right, GAUGE)])
    point = {sp.Symbol(k, positive=True): sp.Rational(v) for k, v in decision.witness.items()}
    assert sp.simplify((left - right).xreplace(point) - decision.size) == 0


def test_numerator_agrees_with_sympy():
    expression = (a / (a + b) - b / (a - b) ** 2) / (1 + 1 / a)
    top, _ = sp.fraction(sp.together(expression))
    assert (numerator(expression, {}) == 0) == (sp.expand(top) == 0)
    assert not numerator(expression - sp.together(expression), {})
