from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intro.tasks.tiny_world.families import FAMILIES, IN_DOMAIN
from intro.tasks.tiny_world.language import VOCABULARY

HAND = [
    ("chain-3", "3 + 4 * 2 - 5", "9"),
    ("chain-2", "0 - 1 - 9", "0"),
    ("mix", "3 @ 4 @ 9 @ 0", "9"),
    ("largest", "max 3 7 2 7", "7"),
    ("count", "count 3 in 1 3 3 0", "2"),
    ("count", "count 9 in 1 3 3 0", "0"),
    ("reverse", "reverse 3 1 4 4", "4 4 1 3"),
    ("rotate", "rotate 2 3 1 4 5", "4 5 3 1"),
]

names = st.sampled_from(sorted(FAMILIES))
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize(("name", "question", "answer"), HAND)
def test_answers_by_hand(name: str, question: str, answer: str) -> None:
    assert FAMILIES[name].solve(question) == answer


def independent(name: str, question: str) -> str:
    """The answers once more, from the whole question at a time instead of step by step."""
    words = question.split()
    if name == "largest":
        return max(words[1:])
    if name == "count":
        return str(words[3:].count(words[1]))
    if name == "reverse":
        return " ".join(reversed(words[1:]))
    if name == "rotate":
        turns, listed = int(words[1]), words[2:]
        return " ".join(listed[turns:] + listed[:turns])
    value = words[0]
    for operator, operand in zip(words[1::2], words[2::2], strict=True):
        value = f"({value} + 2 * {operand})" if operator == "@" else f"({value} {operator} {operand})"
    return str(eval(value) % 10)


@given(names, seeds)
def test_answers_agree_with_an_independent_solution(name: str, seed: int) -> None:
    question = FAMILIES[name].draw(Random(seed))
    assert FAMILIES[name].solve(question) == independent(name, question)


@given(names, seeds)
def test_questions_and_remainders_stay_in_the_language(name: str, seed: int) -> None:
    family = FAMILIES[name]
    question = family.draw(Random(seed))
    assert question == " ".join(question.split())
    assert set(question.split()) <= set(VOCABULARY)
    value, operations = family.parse(question)
    for i, operation in enumerate(operations):
        assert set(family.remainder(value, operations[i:])) | set(family.left(value, operation)) <= set(VOCABULARY)
        value = family.apply(value, operation)


@given(names, seeds)
def test_a_mistake_is_wrong_and_of_the_right_form(name: str, seed: int) -> None:
    family, rng = FAMILIES[name], Random(seed)
    right = tuple(family.solve(family.draw(rng)).split())
    wrong = family.mistake(right, rng)
    assert wrong != right
    assert len(wrong) == len(right)
    assert all(word.isdigit() for word in wrong)


@pytest.mark.parametrize("family", IN_DOMAIN, ids=lambda family: family.name)
def test_a_tier_is_named_after_its_operations(family) -> None:
    _, operations = family.parse(family.draw(Random(0)))
    assert family.name == f"chain-{len(operations)}"
