"""GPQA's grader: which letter counts, and that a grade holds only a letter. test_lm_eval.py tests the filters."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intro.tasks.graders import choice
from intro.tasks.graders.choice import grade_all
from intro.tasks.published.readers import choice_prompt
from intro.types import Grade, Problem

lm_eval = pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")

OPTIONS = ["red light", "Blue (dark) light.", "no light", "light"]
COLOUR = Problem("gpqa/x", "gpqa", choice_prompt("Which colour?", OPTIONS), "(B)", extra={"options": OPTIONS})
TASK = Path(lm_eval.__file__).parent / "tasks" / "gpqa" / "cot_zeroshot" / "_gpqa_cot_zeroshot_yaml"


@pytest.mark.parametrize(
    ("response", "grade"),
    [
        ("The answer is (B).", Grade(True, "B", "correct")),
        ("The answer is (b)", Grade(True, "B", "correct")),
        ("The answer is (B).\n\nQuestion: next? The answer is (C).", Grade(True, "B", "correct")),  # it ran on
        ("The answer is (A) because of this; no: (B)!", Grade(True, "B", "correct")),  # not a letter: flexible
        ("First (A), then (B)", Grade(True, "B", "correct")),
        ("It is blue dark light, surely", Grade(True, "B", "correct")),  # the option's words
        ("Answer: B", Grade(True, "B", "correct")),
        ("Answer: A", Grade(False, "A", "wrong answer")),
        ("See step (I)", Grade(False, None, "no answer")),
        ("I do not know", Grade(False, None, "no answer")),
        ("", Grade(False, None, "no answer")),
    ],
)
def test_letters(response: str, grade: Grade) -> None:
    assert grade_all([(response, COLOUR)]) == [grade]


@given(st.lists(st.text(max_size=40), max_size=4))
@settings(max_examples=5)
def test_a_grade_holds_nothing_but_a_letter(texts: list[str]) -> None:
    """No text of the benchmark gets into a result file, even where the response repeats it."""
    secret = Problem("gpqa/y", "gpqa", "Q", "(A)", extra={"options": [" two  words", "two words!", "", "word\nword"]})
    repeated = [*texts, "The answer is two words.", "two words", "(two words)", "word\nword", ": two words"]
    for grade in grade_all([(text, secret) for text in repeated]):
        assert grade.extracted in {None, *"ABCD"}
        assert grade.reason in {"correct", "wrong answer", "no answer"}


def test_the_restated_patterns_are_lm_evals() -> None:
    text = TASK.read_text()
    assert f'regex_pattern: "{choice.STRICT}"' in text
    assert 'regex_pattern: "{}"'.format(choice.FLEXIBLE.replace("\\", "\\\\")) in text
    for line in ("group_select: -1", "ignore_case: true", "ignore_punctuation: true", "version: 2.2"):
        assert line in text
