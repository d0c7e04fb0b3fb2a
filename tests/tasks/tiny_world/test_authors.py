from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intro.tasks.tiny_world import authors
from intro.tasks.tiny_world.authors import CAREFUL, CARELESS, CONCISE, VERBOSE, Author, Style, common_mistake, write
from intro.tasks.tiny_world.checking import grade, verify
from intro.tasks.tiny_world.families import FAMILIES
from intro.tasks.tiny_world.language import DIGITS

names = st.sampled_from(sorted(FAMILIES))
seeds = st.integers(0, 2**32)
FLAWLESS = Author(hard=0.0, easy=0.0)
CHAIN = FAMILIES["chain-5"]
FACTS = [((a,), (operator, b)) for a, operator, b in product(DIGITS, "+-*", DIGITS)]


def test_concise_document_by_hand() -> None:
    text = write(0, FAMILIES["chain-3"], "3 + 4 * 2 - 5", FLAWLESS, CONCISE, Random(0))
    assert text == "3 + 4 = 7 ; 7 * 2 = 4 ; 4 - 5 = 9 ; answer 9"


def test_verbose_document_by_hand() -> None:
    chatty = Style(restate_first=True, restate=1.0, check=1.0, hesitate=1.0)
    text = write(0, FAMILIES["chain-2"], "3 + 4 * 2", FLAWLESS, chatty, Random(0))
    assert text == (
        "so 3 + 4 * 2 ; 3 + 4 = 7 ; check 3 + 4 = 7 ; wait 3 + 4 = 7 ; "
        "so 7 * 2 ; 7 * 2 = 4 ; check 7 * 2 = 4 ; wait 7 * 2 = 4 ; answer 4"
    )


def test_later_steps_use_a_wrong_value() -> None:
    mistakes = {fact: common_mistake(0, CHAIN, *fact) for fact in FACTS}
    fact, (wrong,) = next(
        (fact, wrong) for fact, wrong in mistakes.items() if wrong and mistakes[wrong, ("+", "0")] is None
    )
    first = " ".join(sum(fact, ()))
    text = write(0, FAMILIES["chain-2"], f"{first} + 0", Author(hard=1.0, easy=0.0), CONCISE, Random(0))
    assert text == f"{first} = {wrong} ; {wrong} + 0 = {wrong} ; answer {wrong}"


def test_hard_facts_are_a_fixed_share_with_one_common_mistake_each() -> None:
    hard = [fact for fact in FACTS if common_mistake(3, CHAIN, *fact)]
    assert abs(len(hard) / len(FACTS) - authors.HARD_SHARE) < 0.08
    for fact in hard:
        mistake = common_mistake(3, CHAIN, *fact)
        assert mistake == common_mistake(3, FAMILIES["chain-2"], *fact)  # the same in every tier
        assert mistake != CHAIN.apply(*fact)
    assert hard != [fact for fact in FACTS if common_mistake(4, CHAIN, *fact)]


def right_share(author: Author, style: Style) -> float:
    rng, family = Random(1), FAMILIES["chain-4"]
    questions = [family.draw(rng) for _ in range(1500)]
    return sum(grade(write(0, family, q, author, style, rng), family.solve(q)).correct for q in questions) / len(
        questions
    )


def test_careful_authors_are_mostly_right_and_careless_ones_mostly_wrong() -> None:
    assert right_share(CAREFUL, CONCISE) > 0.93
    assert 0.3 < right_share(CARELESS, CONCISE) < 0.6


@pytest.mark.parametrize("name", [f"chain-{n}" for n in range(2, 8)])
def test_verbose_is_two_to_three_times_as_long(name: str) -> None:
    family, rng = FAMILIES[name], Random(2)
    questions = [family.draw(rng) for _ in range(400)]
    lengths = [
        sum(len(write(0, family, q, CAREFUL, style, rng).split()) + 1 for q in questions)
        for style in (CONCISE, VERBOSE)
    ]
    assert 1.7 < lengths[1] / lengths[0] < 3.0


@given(names, seeds, st.sampled_from([CAREFUL, CARELESS]), st.sampled_from([CONCISE, VERBOSE]))
def test_documents_depend_on_the_seed_only(name: str, seed: int, author: Author, style: Style) -> None:
    family = FAMILIES[name]
    question = family.draw(Random(seed))
    texts = {write(0, family, question, author, style, Random(seed)) for _ in range(2)}
    assert len(texts) == 1
    assert grade(texts.pop(), "").extracted is not None


@given(names, seeds, st.sampled_from([CONCISE, VERBOSE]))
def test_a_flawless_author_is_verified_whatever_the_style(name: str, seed: int, style: Style) -> None:
    family, rng = FAMILIES[name], Random(seed)
    question = family.draw(rng)
    text = write(0, family, question, FLAWLESS, style, rng)
    assert verify(text, family, question)
    assert grade(text, family.solve(question)).correct
