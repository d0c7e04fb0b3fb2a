from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intro.tasks.tiny_world.authors import CARELESS, CONCISE, VERBOSE, Author, Style, write
from intro.tasks.tiny_world.checking import grade, verify
from intro.tasks.tiny_world.families import FAMILIES
from intro.tasks.tiny_world.language import DIGITS, VOCABULARY

# response, gold answer, grade, extracted
GRADES = [
    ("3 + 4 = 7 ; answer 7", "7", "correct", "7"),
    ("answer 7", "7", "correct", "7"),
    ("answer 7 <eos> <pad>", "7", "correct", "7"),
    ("  answer   7 ", "7", "correct", "7"),
    ("answer 3 ; wait answer 7", "7", "correct", "7"),  # the last one counts
    ("answer 7 ; answer 3", "7", "wrong answer", "3"),
    ("answer 7 ;", "7", "wrong answer", "7 ;"),
    ("answer 7 7", "7", "wrong answer", "7 7"),
    ("answer 4 1 3", "4 1 3", "correct", "4 1 3"),
    ("answer 4 1", "4 1 3", "wrong answer", "4 1"),
    ("answer 3 1 4", "4 1 3", "wrong answer", "3 1 4"),
    ("3 + 4 = 7", "7", "no answer", None),
    ("3 + 4 = 7 ; answer", "7", "no answer", None),
    ("answer <eos>", "7", "no answer", None),
    ("", "7", "no answer", None),
]


@pytest.mark.parametrize(("text", "answer", "reason", "extracted"), GRADES)
def test_grades(text: str, answer: str, reason: str, extracted: str | None) -> None:
    given = grade(text, answer)
    assert (given.reason, given.extracted) == (reason, extracted)
    assert given.correct == (reason == "correct")


QUESTION = "3 + 4 * 2"
GRADES = [
    ("3 + 4 = 7 ; 7 * 2 = 4 ; answer 4", True),
    ("3 + 4 = 7 ; 7 * 2 = 4 ; answer 4 <eos>", True),
    ("so 3 + 4 * 2 ; 3 + 4 = 7 ; check 3 + 4 = 7 ; so 7 * 2 ; 7 * 2 = 4 ; wait 7 * 2 = 4 ; answer 4", True),
    ("3 + 4 = 7 ; 7 * 2 = 4 ; check 3 + 4 = 7 ; answer 4", True),  # an earlier fact may be repeated
    ("answer 4", False),  # copied
    ("3 + 4 = 7 ; answer 4", False),  # a step is missing
    ("7 * 2 = 4 ; answer 4", False),
    ("7 * 2 = 4 ; 3 + 4 = 7 ; answer 4", False),  # out of order
    ("3 + 4 = 7 ; 3 + 4 = 7 ; 7 * 2 = 4 ; answer 4", False),  # carried out twice
    ("3 + 4 = 7 ; 7 * 2 = 4 ; 4 + 0 = 4 ; answer 4", False),  # an operation too many
    ("3 + 4 = 7 ; 2 * 7 = 4 ; answer 4", False),  # not the step that was asked for
    ("3 + 4 = 2 ; 2 * 2 = 4 ; answer 4", False),  # two wrongs, right answer
    ("3 + 4 = 8 ; wait 3 + 4 = 7 ; 7 * 2 = 4 ; answer 4", False),  # corrected, still stated
    ("3 + 4 = 7 ; check 7 * 2 = 4 ; 7 * 2 = 4 ; answer 4", False),  # checked before it was found
    ("so 7 * 2 ; 3 + 4 = 7 ; 7 * 2 = 4 ; answer 4", False),  # restates what is not yet left
    ("3 + 4 = 7 ; 7 * 2 = 4 ; so 4 ; answer 4", False),  # nothing is left
    ("3 + 4 = 7 ; 7 * 2 = 4 ; answer 5", False),
    ("3 + 4 = 7 ; 7 * 2 = 4 ; answer 4 ;", False),
    ("3 + 4 = 7 ; 7 * 2 = 4 ; answer 4 ; answer 4", False),
    ("3 + 4 = 7 ; 7 * 2 = 4", False),
    ("3 + 4 = 7 ; ; 7 * 2 = 4 ; answer 4", False),
    ("", False),
]


@pytest.mark.parametrize(("text", "expected"), GRADES)
def test_verifies(text: str, expected: bool) -> None:
    assert verify(text, FAMILIES["chain-2"], QUESTION) is expected


names = st.sampled_from(sorted(FAMILIES))
seeds = st.integers(0, 2**32)
styles = st.sampled_from([CONCISE, VERBOSE])
words = st.lists(st.sampled_from([*VOCABULARY, "elsewhere"]), max_size=40).map(" ".join)


def written(name: str, seed: int, style: Style) -> tuple[str, str]:
    rng = Random(seed)
    question = FAMILIES[name].draw(rng)
    return question, write(0, FAMILIES[name], question, Author(0.0, 0.0), style, rng)


@given(names, seeds, styles, st.data())
def test_one_changed_digit_anywhere_is_found(name: str, seed: int, style: Style, data: st.DataObject) -> None:
    question, text = written(name, seed, style)
    parts = text.split()
    place = data.draw(st.sampled_from([i for i, word in enumerate(parts) if word in DIGITS]))
    parts[place] = data.draw(st.sampled_from([digit for digit in DIGITS if digit != parts[place]]))
    statements = " ".join(parts).split(" ; ")
    at = next(i for i, old in enumerate(text.split(" ; ")) if old != statements[i])
    # a changed repetition may repeat another earlier fact, which is true too
    head, _, fact = statements[at].partition(" ")
    assert verify(" ".join(parts), FAMILIES[name], question) == (head in ("check", "wait") and fact in statements[:at])


@given(names, seeds, styles, st.data())
def test_a_missing_fact_is_found(name: str, seed: int, style: Style, data: st.DataObject) -> None:
    question, text = written(name, seed, style)
    statements = text.split(" ; ")
    facts = [i for i, s in enumerate(statements) if s.split()[0] not in ("so", "check", "wait", "answer")]
    del statements[data.draw(st.sampled_from(facts))]
    assert not verify(" ; ".join(statements), FAMILIES[name], question)


@given(names, seeds)
def test_a_copied_answer_is_found(name: str, seed: int) -> None:
    question, _ = written(name, seed, CONCISE)
    assert not verify(f"answer {FAMILIES[name].solve(question)}", FAMILIES[name], question)


@given(names, seeds, styles)
def test_what_is_verified_is_graded_correct(name: str, seed: int, style: Style) -> None:
    rng, family = Random(seed), FAMILIES[name]
    question = family.draw(rng)
    text = write(0, family, question, CARELESS, style, rng)
    if verify(text, family, question):
        assert grade(text, family.solve(question)).correct


@given(names, seeds, st.text() | words)
def test_malformed_text_does_not_raise(name: str, seed: int, text: str) -> None:
    question = FAMILIES[name].draw(Random(seed))
    answer = FAMILIES[name].solve(question)
    assert not verify(text, FAMILIES[name], question)
    assert grade(text, answer).reason in ("correct", "wrong answer", "no answer")
