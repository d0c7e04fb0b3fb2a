from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intro.tasks.tiny_world.checking import grade
from intro.tasks.tiny_world.families import FAMILIES, IN_DOMAIN, OUT_OF_DOMAIN, Family
from intro.tasks.tiny_world.source import SETTINGS, TinyWorldSource
from intro.types import IntroError, Problem
from worlds import PROMPTS, make_world

DOCUMENTS = 6000
FIRST_WORD = {"max": "largest", "count": "count", "reverse": "reverse", "rotate": "rotate"}


def family_of(question: str) -> Family:
    words = question.split()
    name = FIRST_WORD.get(words[0]) or ("mix" if "@" in words else f"chain-{len(words) // 2}")
    return FAMILIES[name]


def opened(prompt: str) -> tuple[str, str | None]:
    """The question and the stated answer of a prompt."""
    question, _, stated = prompt.removesuffix(" :").partition(" given ")
    return question, stated or None


@pytest.fixture(scope="module")
def corpora(world: TinyWorldSource) -> dict[str, list[tuple[str, str | None, str]]]:
    return {s: [(*opened(p), r) for p, r in world.corpus(s, DOCUMENTS)] for s in SETTINGS}


def questions(problems: list[Problem]) -> set[str]:
    return {problem.question for problem in problems}


# ---------------------------------------------------------------- problems


def test_sizes_ids_and_answers(world: TinyWorldSource, tests_of: dict[str, list[Problem]]) -> None:
    splits = [*tests_of.values(), world.train(), world.validation()]
    assert [len(split) for split in splits] == [40] * len(FAMILIES) + [120, 60]
    for split in splits:
        assert len(questions(split)) == len(split)
        assert all(p.answer == FAMILIES[p.benchmark].solve(p.question) for p in split)
    ids = [problem.id for split in splits for problem in split]
    assert len(set(ids)) == len(ids)


def test_training_covers_the_tiers_evenly_and_nothing_else(world: TinyWorldSource) -> None:
    assert Counter(p.benchmark for p in world.train()) == {family.name: 20 for family in IN_DOMAIN}
    assert Counter(p.benchmark for p in world.validation()) == {family.name: 10 for family in IN_DOMAIN}
    uneven = Counter(p.benchmark for p in make_world(train_problems=100).train())
    assert max(uneven.values()) - min(uneven.values()) == 1


def test_gold_rationales_are_right_and_of_both_styles(world: TinyWorldSource) -> None:
    train = world.train()
    assert all(world.verify(p.rationale, p) and world.grade(p.rationale, p).correct for p in train)
    verbose = sum(p.rationale.startswith("so ") for p in train) / len(train)
    assert 0.4 < verbose < 0.8
    assert all(p.rationale.endswith(f"{world.answer_marker} {p.answer}") for p in train)


def test_splits_and_corpus_share_no_question(
    world: TinyWorldSource, tests_of: dict[str, list[Problem]], corpora: dict[str, list]
) -> None:
    sets = {
        "test": set().union(*map(questions, tests_of.values())),
        "validation": questions(world.validation()),
        "train": questions(world.train()),
        "corpus": {question for documents in corpora.values() for question, _, _ in documents},
    }
    for name, members in sets.items():
        assert {world.split(question) for question in members} == {name}
    assert sum(map(len, sets.values())) == len(set().union(*sets.values()))


def test_the_seed_determines_the_world(world: TinyWorldSource) -> None:
    again, other = make_world(), make_world(seed=1)
    assert again.train() == world.train()
    assert again.validation() == world.validation()
    assert again.problems("mix") == world.problems("mix")
    assert again.corpus("bayes", 50) == world.corpus("bayes", 50)
    assert questions(other.train()) != questions(world.train())
    assert other.corpus("bayes", 50) != world.corpus("bayes", 50)


def test_the_first_question_does_not_change() -> None:
    """Published runs used this world; their numbers would not apply to a changed one."""
    assert make_world().problems("chain-2")[0].question == "9 + 8 * 8"


def test_more_problems_begin_with_the_same_ones(world: TinyWorldSource) -> None:
    more = make_world(benchmarks={"reverse": 80}).problems("reverse")
    assert more[:40] == world.problems("reverse")


def test_an_exhausted_split_raises() -> None:
    with pytest.raises(IntroError, match="chain-2 problems, found"):
        make_world(benchmarks={"chain-2": 5000}).problems("chain-2")


# ---------------------------------------------------------------- corpus


@pytest.mark.parametrize("setting", SETTINGS)
def test_layouts(world: TinyWorldSource, corpora: dict[str, list], setting: str) -> None:
    stated = [answer for _, answer, _ in corpora[setting]]
    assert abs(sum(a not in (None, "_") for a in stated) / DOCUMENTS - 0.40) < 0.03
    assert abs(sum(a == "_" for a in stated) / DOCUMENTS - 0.04) < 0.015
    assert all(p.endswith(" :") for p, _ in world.corpus(setting, 50))


@pytest.mark.parametrize("setting", SETTINGS)
def test_families(corpora: dict[str, list], setting: str) -> None:
    counts = Counter(family_of(question).name for question, _, _ in corpora[setting])
    assert set(counts) == set(FAMILIES)
    for family in OUT_OF_DOMAIN:
        assert abs(counts[family.name] / DOCUMENTS - 0.09) < 0.02
    for family in IN_DOMAIN:
        assert abs(counts[family.name] / DOCUMENTS - 0.55 / 6) < 0.02


def given_documents(documents: list) -> list[tuple[str, str, str]]:
    return [d for d in documents if d[1] not in (None, "_")]


def test_clean_documents_are_worked_solutions(world: TinyWorldSource, corpora: dict[str, list]) -> None:
    documents = given_documents(corpora["clean"])
    for question, stated, response in documents:
        family = family_of(question)
        assert stated == family.solve(question)
        assert world.verify(response, Problem("", family.name, question, stated))
    assert abs(sum(r.startswith("so ") for _, _, r in documents) / len(documents) - 0.10) < 0.03


def test_bayes_documents_have_right_answers_and_some_false_steps(
    world: TinyWorldSource, corpora: dict[str, list]
) -> None:
    documents = given_documents(corpora["bayes"])
    verified = 0
    for question, stated, response in documents:
        family = family_of(question)
        assert stated == family.solve(question)
        assert grade(response, stated).correct
        verified += world.verify(response, Problem("", family.name, question, stated))
    assert 0.8 < verified / len(documents) < 1.0


def test_consistent_documents_state_what_they_end_with(corpora: dict[str, list]) -> None:
    documents = given_documents(corpora["consistent"])
    assert all(grade(response, stated).correct for _, stated, response in documents)
    right = sum(stated == family_of(question).solve(question) for question, stated, _ in documents)
    assert 0.4 < right / len(documents) < 0.8


def test_documents_without_answer_are_alike_in_all_settings(corpora: dict[str, list]) -> None:
    def shares(documents: list) -> tuple[float, float]:
        plain = [(q, r) for q, stated, r in documents if stated in (None, "_")]
        right = sum(grade(r, family_of(q).solve(q)).correct for q, r in plain)
        return right / len(plain), sum(r.startswith("so ") for _, r in plain) / len(plain)

    for right, verbose in map(shares, corpora.values()):
        assert 0.5 < right < 0.75
        assert abs(verbose - 0.6) < 0.04


def test_a_longer_corpus_begins_with_the_shorter(world: TinyWorldSource) -> None:
    assert world.corpus("clean", 80)[:40] == world.corpus("clean", 40)


def test_prompts_follow_the_templates() -> None:
    world = make_world(prompts={"question": "{question} =", "posterior": "given {answer} so {question} ="})
    prompts = [prompt for prompt, _ in world.corpus("clean", 200)]
    assert all(prompt.endswith(" =") and ":" not in prompt for prompt in prompts)
    assert any(prompt.startswith("given _ so ") for prompt in prompts)


# ---------------------------------------------------------------- controls and errors


@given(st.sampled_from(sorted(FAMILIES)), st.integers(0, 39))
def test_wrong_answers_are_wrong_plausible_and_repeatable(name: str, index: int) -> None:
    world = make_world()
    problem = world.problems(name)[index]
    wrong = world.wrong_answer(problem)
    assert wrong == make_world().wrong_answer(problem) != problem.answer
    assert len(wrong.split()) == len(problem.answer.split())
    assert not world.grade(f"answer {wrong}", problem).correct


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_world().problems("chain-9"), "expected one of chain-2, .*found 'chain-9'"),
        (lambda: make_world(benchmarks={"gsm8k": 5}), "data.benchmarks: expected one of .*found 'gsm8k'"),
        (lambda: make_world().corpus("dirty", 5), "expected one of clean, bayes, consistent, found 'dirty'"),
        (lambda: make_world(prompts={"question": "{question} :"}), "a template named 'posterior'"),
        (lambda: make_world(prompts={**PROMPTS, "question": ":"}), "expected {question} in it, found ':'"),
        (lambda: make_world(prompts={**PROMPTS, "posterior": "{question} :"}), "expected {answer} in it"),
        (lambda: make_world(prompts={**PROMPTS, "hint": "hint {question}"}), "prompts.hint: .*found 'hint'"),
        (lambda: make_world(prompts={**PROMPTS, "hint": "{question} {other}"}), "no other fields"),
        (lambda: make_world(prompts={**PROMPTS, "hint": "{question"}), "no other fields"),
    ],
)
def test_error_messages(call, message: str) -> None:
    with pytest.raises(IntroError, match=message):
        call()
