"""The list of statements. A statement is a function from a setting to the equations that it asserts there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import sympy as sp

from intro.theory.decide import Equation, decide, gap_holds
from intro.theory.setting import SETTINGS, Setting
from intro.types import IntroError

Equations = Callable[[Setting], list[Equation]]


@dataclass(frozen=True)
class Statement:
    """An equation, in LaTeX and in words, and the function that builds both sides from the definitions."""

    name: str
    kind: Literal["identity", "counterexample"]
    title: str
    latex: str
    assumptions: str
    equations: Equations
    settings: tuple[Setting, ...] = SETTINGS
    gap: str | None = None  # counterexamples: LaTeX of left minus right, itself proved


@dataclass(frozen=True)
class Identity:
    """A decided statement. The statement of a counterexample is an equality that must be refuted."""

    name: str
    kind: str
    title: str
    statement: str
    assumptions: str
    verdict: str  # "proved" in every setting, or "refuted" by a witness
    seconds: float
    settings: tuple[str, ...]
    gap: str | None = None  # closed form of left minus right, proved in every setting
    size: str | None = None  # largest component of left minus right at the witness, exactly
    decimal: float | None = None  # the same as a float
    rescaling: bool | None = None  # at the witness, left is a multiple of right
    witness: dict[str, str] | None = None


REGISTRY: dict[str, Statement] = {}


def identity(
    title: str, latex: str, assumptions: str, settings: tuple[Setting, ...] = SETTINGS, *, kind="identity", gap=None
):
    """Register a function as an identity under its own name."""

    def add(function: Equations) -> Equations:
        name = function.__name__
        REGISTRY[name] = Statement(name, kind, title, latex, assumptions, function, settings, gap)
        return function

    return add


def counterexample(title: str, latex: str, assumptions: str, gap: str, settings: tuple[Setting, ...] = SETTINGS):
    """Register a function as an equality that fails, with the closed form of the difference."""
    return identity(title, latex, assumptions, settings, kind="counterexample", gap=gap)


def check(statement: Statement) -> Identity:
    """Decide a statement in each of its settings; raises IntroError when the printed gap is not the gap."""
    start = time.perf_counter()
    decisions = []
    for setting in statement.settings:
        equations = statement.equations(setting)
        decisions.append(decide(equations))
        if statement.gap and not all(gap_holds(equation) for equation in equations):
            raise IntroError(f"theory: {statement.name}: the printed gap is not the gap in '{setting.name}'")
    refuted = [d for d in decisions if d.verdict == "refuted"]
    if statement.kind == "counterexample" and len(refuted) < len(decisions):
        raise IntroError(f"theory: {statement.name}: meant to fail in every setting, yet it holds in one")
    last = refuted[-1] if refuted else decisions[-1]
    described = (statement.name, statement.kind, statement.title, statement.latex, statement.assumptions)
    seconds, where = round(time.perf_counter() - start, 3), tuple(setting.name for setting in statement.settings)
    size, decimal = (None, None) if last.size is None else (sp.sstr(last.size), float(last.size))
    witnessed = (size, decimal, last.rescaling, last.witness)
    return Identity(*described, last.verdict, seconds, where, statement.gap, *witnessed)
