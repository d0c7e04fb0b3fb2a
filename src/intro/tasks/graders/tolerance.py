"""Mathematics with the tolerance that a benchmark publishes for an answer (OlympiadBench)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from intro.tasks.graders import mathematics
from intro.types import Grade, Problem


def grade_all(pairs: Sequence[tuple[str, Problem]]) -> list[Grade]:
    """Grades of (response, problem) pairs, in order: equal answers, or numbers within the problem's tolerance."""
    grades = mathematics.grade_all([(text, problem.answer) for text, problem in pairs])
    return [within_tolerance(grade, problem) for grade, (_, problem) in zip(grades, pairs, strict=True)]


def within_tolerance(grade: Grade, problem: Problem) -> Grade:
    """A second chance for a wrong answer where the benchmark publishes a tolerance: two numbers that are that close."""
    tolerance = problem.extra.get("tolerance")
    if grade.correct or grade.extracted is None or tolerance is None:
        return grade
    theirs, gold = number(grade.extracted), number(problem.answer)
    # the published tolerances are decimal, so a difference of just that size may come out a rounding error larger
    near = theirs is not None and gold is not None and abs(theirs - gold) <= tolerance * (1 + 1e-9)
    return Grade(True, grade.extracted, "correct within tolerance") if near else grade


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_QUOTIENT = re.compile(rf"({_NUMBER})(?:/({_NUMBER}))?", re.IGNORECASE)
_FRACTION = re.compile(rf"([-+]?)\\[dt]?frac\{{({_NUMBER})\}}\{{({_NUMBER})\}}", re.IGNORECASE)
_POWER = re.compile(rf"({_NUMBER})(?:\\times|\\cdot|\*)10\^\{{?([-+]?\d+)\}}?", re.IGNORECASE)


def number(text: str) -> float | None:
    """A plain decimal, quotient, fraction or power of ten as a number; None for anything else."""
    plain = re.sub(r"[\s$]|\\[,;:! ]|(?<=\d),(?=\d{3}\b)", "", text).rstrip(".")
    with suppress(ZeroDivisionError, OverflowError, ValueError):
        if found := _FRACTION.fullmatch(plain):
            return float(f"{found[1]}1") * float(found[2]) / float(found[3])
        if found := _POWER.fullmatch(plain):
            return float(f"{found[1]}e{int(found[2])}")
        if found := _QUOTIENT.fullmatch(plain):
            return float(found[1]) / float(found[2] or 1)
    return None
