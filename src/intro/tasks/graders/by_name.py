"""Graders by name. A collection names its own; each takes (response, problem) pairs and gives grades in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from intro.tasks.graders import mathematics
from intro.tasks.published.collections import unit_tests
from intro.types import Grade, IntroError, Problem

Pairs = Sequence[tuple[str, Problem]]

UNPACKED = 64  # responses whose unit tests are in memory together: some problems have tens of megabytes


@dataclass(frozen=True, slots=True)
class Programs:
    """How model-written programs are run."""

    unsandboxed: bool = False
    bigcodebench_python: str | None = None  # interpreter whose environment has BigCodeBench's libraries


def _mathematics(pairs: Pairs, programs: Programs) -> list[Grade]:
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
    try:
        if found := _FRACTION.fullmatch(plain):
            return float(f"{found[1]}1") * float(found[2]) / float(found[3])
        if found := _POWER.fullmatch(plain):
            return float(f"{found[1]}e{int(found[2])}")
        if found := _QUOTIENT.fullmatch(plain):
            return float(found[1]) / float(found[2] or 1)
    except (ZeroDivisionError, OverflowError, ValueError):
        pass
    return None


def _choice(pairs: Pairs, programs: Programs) -> list[Grade]:
    from intro.tasks.graders import choice

    return choice.grade_all(pairs)


def _program(pairs: Pairs, programs: Programs) -> list[Grade]:
    from intro.tasks.graders.programs import grade_all

    return grade_all(pairs, unsandboxed=programs.unsandboxed)


def _library_program(pairs: Pairs, programs: Programs) -> list[Grade]:
    from intro.tasks.graders.programs import grade_all

    return grade_all(pairs, unsandboxed=programs.unsandboxed, python=programs.bigcodebench_python)


def _stdin_program(pairs: Pairs, programs: Programs) -> list[Grade]:
    from intro.tasks.graders.programs import grade_stdin

    grades: list[Grade] = []
    for start in range(0, len(pairs), UNPACKED):
        part = pairs[start : start + UNPACKED]
        known = {problem.id: problem for _, problem in part}
        ready = {i: replace(p, extra={**p.extra, "tests": unit_tests(p.extra)}) for i, p in known.items()}
        grades += grade_stdin([(text, ready[p.id]) for text, p in part], unsandboxed=programs.unsandboxed)
    return grades


def _instructions(pairs: Pairs, programs: Programs) -> list[Grade]:
    from intro.tasks.graders import instructions

    return instructions.grade_all(pairs)


GRADERS: dict[str, Callable[[Pairs, Programs], list[Grade]]] = {
    "mathematics": _mathematics,
    "choice": _choice,
    "program": _program,
    "library_program": _library_program,
    "stdin_program": _stdin_program,
    "instructions": _instructions,
}


def grade_all(pairs: Pairs, grader_of: Callable[[Problem], str], programs: Programs = Programs()) -> list[Grade]:
    """Grades in order; each grader is called once, with all of its pairs. Raises IntroError for an unknown grader."""
    groups: dict[str, list[int]] = {}
    for i, (_, problem) in enumerate(pairs):
        groups.setdefault(grader_of(problem), []).append(i)
    grades: dict[int, Grade] = {}
    for name, indices in groups.items():
        if name not in GRADERS:
            raise IntroError(f"grader: expected one of {', '.join(GRADERS)}, found '{name}'")
        grades |= zip(indices, GRADERS[name]([pairs[i] for i in indices], programs), strict=True)
    return [grades[i] for i in range(len(pairs))]
