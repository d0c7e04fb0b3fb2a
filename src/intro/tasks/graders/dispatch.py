"""Grading by the grader that a collection names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intro.tasks.graders import choice, instructions, programs, tolerance
from intro.types import Grade, IntroError, Problem

Pairs = Sequence[tuple[str, Problem]]  # responses with their problems


@dataclass(frozen=True, slots=True)
class Execution:
    """How model-written programs are run."""

    unsandboxed: bool = False
    bigcodebench_python: str | None = None  # interpreter whose environment has BigCodeBench's libraries


GRADERS: dict[str, Callable[[Pairs, Execution], list[Grade]]] = {
    "mathematics": lambda pairs, _: tolerance.grade_all(pairs),
    "choice": lambda pairs, _: choice.grade_all(pairs),
    "program": lambda pairs, how: programs.grade_all(pairs, unsandboxed=how.unsandboxed),
    "library_program": lambda pairs, how: programs.grade_all(
        pairs, unsandboxed=how.unsandboxed, python=how.bigcodebench_python
    ),
    "stdin_program": lambda pairs, how: programs.grade_stdin(pairs, unsandboxed=how.unsandboxed),
    "instructions": lambda pairs, _: instructions.grade_all(pairs),
}


def grade_all(pairs: Pairs, grader_of: Callable[[Problem], str], execution: Execution = Execution()) -> list[Grade]:
    """Grades of (response, problem) pairs, in order; each grader is called once, with all of its pairs.

    `grader_of` gives a problem's grader, one of GRADERS. Raises IntroError for an unknown grader.
    """
    groups: dict[str, list[int]] = {}
    for i, (_, problem) in enumerate(pairs):
        groups.setdefault(grader_of(problem), []).append(i)
    grades: dict[int, Grade] = {}
    for name, indices in groups.items():
        if name not in GRADERS:
            raise IntroError(f"grader: expected one of {', '.join(GRADERS)}, found '{name}'")
        grades |= zip(indices, GRADERS[name]([pairs[i] for i in indices], execution), strict=True)
    return [grades[i] for i in range(len(pairs))]
