"""Rationales to learn from: prompts with and without the answer, gold and sampled rationales, forced answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import toy
from intro.config import Config, load, parse
from intro.experiments import base_folder
from intro.model.tokenizer import ModelTokenizer
from intro.objectives import Posterior, build
from intro.rollout.decoder import Decoder
from intro.rollout.native import NativeEngine
from intro.tasks.registry import load_source
from intro.tasks.tiny_world.language import UNKNOWN, VOCABULARY, build_tokenizer
from intro.training.samples import Prompter, Sample, end_in_answer, gold_sample, own_sample
from intro.types import Problem

PROBLEM = Problem("p", "chain-2", "3 + 4 - 2", "5", "3 + 4 = 7 ; 7 - 2 = 5 ; answer 5")


@pytest.fixture(scope="module")
def world(toy_root: Path) -> Config:
    return parse(toy.mapping(toy_root))


@pytest.fixture(scope="module")
def prompter(world: Config) -> Prompter:
    source = load_source(world.data, world.prompts, world.seed)
    return Prompter(toy.tokenizer_of(world, "qwen2-s"), world.prompts, source)


def words(prompter: Prompter, ids) -> str:
    return prompter.tokenizer.raw.decode(list(ids), skip_special_tokens=False)


def test_posterior_prompt_states_the_gold_a_wrong_or_no_answer(prompter: Prompter) -> None:
    """The controls differ from the method in the answer only."""
    shown = {a: words(prompter, prompter.posterior(PROBLEM, Posterior("live", 1, "posterior", a)))
             for a in ("gold", "wrong", "none")}  # fmt: skip
    assert shown["gold"] == "3 + 4 - 2 given 5 :" and shown["none"] == f"3 + 4 - 2 given {UNKNOWN} :"
    wrong = shown["wrong"].split()
    assert wrong[:6] == "3 + 4 - 2 given".split() and wrong[6:-1] != ["5"] and wrong[-1] == ":"
    assert words(prompter, prompter.question(PROBLEM)) == "3 + 4 - 2 :"


def test_gold_sample_ends_in_answer_and_end_token(prompter: Prompter) -> None:
    sample = gold_sample([PROBLEM, PROBLEM], prompter)
    assert [words(prompter, r.tokens) for r in sample.rationales] == [f"{PROBLEM.rationale} <eos>"] * 2
    assert sample.rewards.tolist() == [[1], [1]] and not sample.truncated.any()
    assert [r.group for r in sample.rationales] == [0, 1] and sample.tokens == 2 * len(sample.rationales[0].tokens)


def test_own_sample_is_graded_in_order(world: Config, prompter: Prompter) -> None:
    """Row-major P x G; each grade belongs to its own response, each prompt to its own problem."""
    from intro.model.load import load_model

    judged = Prompter(prompter.tokenizer, prompter.templates, toy.LengthJudge(prompter.source))
    problems = prompter.source.train()[:3]
    engine = NativeEngine(
        Decoder.from_model(load_model(base_folder(world, "qwen2-s"))), judged.tokenizer.stop, judged.tokenizer.pad
    )

    def drawn(method: str, group_size: int) -> Sample:
        settings = world.training.model_copy(update={"group_size": group_size, "max_response_tokens": 20})
        return own_sample(problems, build(method), judged, engine, settings, torch.Generator().manual_seed(0))

    sample = drawn("intro", 4)
    assert sample.rewards.shape == (3, 4) and 0 < sample.rewards.mean() < 1
    for i, rationale in enumerate(sample.rationales):
        problem, text = problems[i // 4], judged.tokenizer.decode(rationale.tokens)
        assert rationale.group == i // 4 and rationale.prompt == judged.question(problem)
        assert rationale.posterior_prompt == judged.named("posterior", problem)
        assert bool(sample.rewards[i // 4, i % 4]) == (len(text.split()) % 2 == 0)
        assert bool(sample.truncated[i // 4, i % 4]) == (rationale.tokens[-1] not in judged.tokenizer.stop)
    lengths = [len(r.tokens) for r in sample.rationales]
    assert sample.tokens == sum(lengths)
    plain = drawn("grpo", 2)
    assert all(r.posterior_prompt is None and r.answer_start is None for r in plain.rationales)
    forced = drawn("latro", 2)
    for rationale in forced.rationales:
        gold = words(prompter, rationale.tokens[rationale.answer_start :])
        assert gold == f"{problems[rationale.group].answer} <eos>"


def test_forced_answer_by_hand(prompter: Prompter) -> None:
    """Cut after the last marker; a rationale without one has it appended in place of its end."""
    for written, wanted in {
        "3 + 4 = 7 ; answer 9 <eos>": "3 + 4 = 7 ; answer 5 <eos>",
        "answer 1 ; wait ; answer 2": "answer 1 ; wait ; answer 5 <eos>",
        "3 + 4 = 7 <eos>": "3 + 4 = 7 answer 5 <eos>",
    }.items():
        tokens, start = end_in_answer(tuple(prompter.tokenizer.encode(written)), PROBLEM, prompter)
        assert words(prompter, tokens) == wanted
        assert words(prompter, tokens[start:]) == "5 <eos>"


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Prompter:
    """A byte-level tokenizer, which merges a marker's ends with adjacent text, and the marker of the published sets."""
    from intro.rehearsal import train_tokenizer
    from intro.tasks.published.source import PublishedSource

    config = load(Path(__file__).resolve().parents[2] / "config" / "rehearsal.yaml")
    tokenizer = train_tokenizer(config)
    return Prompter(ModelTokenizer(tokenizer, 0, (0, 1)), config.prompts, PublishedSource(config.data, 0))


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("We get $3 + 4 = 8$. The answer is $\\boxed{8}$.", "We get $3 + 4 = 8$. The answer is $\\boxed{5}"),
        ("\\boxed{1}, no, $\\boxed{2}$", "\\boxed{1}, no, $\\boxed{5}"),
        ("It is 7", "It is 7 \\boxed{5}"),
        ("", "\\boxed{5}"),
        ("π ≈ 3 \\boxed{", "π ≈ 3 \\boxed{5}"),
    ],
)
def test_forced_answer_in_text_that_is_no_list_of_words(bpe: Prompter, written: str, wanted: str) -> None:
    """The sampled tokens before the marker stay as they were drawn; the answer's own begin where the box opens."""
    sampled = (*bpe.tokenizer.encode(written), 0)
    tokens, start = end_in_answer(sampled, PROBLEM, bpe)
    assert bpe.tokenizer.decode(tokens) == wanted and tokens[-1] in bpe.tokenizer.stop
    assert bpe.tokenizer.decode(tokens[start:]) == "5}"
    before = written.rpartition("\\boxed{")[0]
    same = next(i for i, (a, b) in enumerate(zip(tokens, sampled, strict=False)) if a != b)
    assert len(bpe.tokenizer.decode(tokens[:same])) >= len(before) - 2  # one token may reach across


@given(st.lists(st.sampled_from(VOCABULARY[2:]), max_size=12), st.booleans())
def test_forced_answer_is_always_graded_correct(response: list[str], ends: bool) -> None:
    """Any sampled response ends once, in the gold answer."""
    tokenizer = ModelTokenizer(build_tokenizer(), 0, (1,))
    config = parse(toy.mapping(Path()))
    prompter = Prompter(tokenizer, config.prompts, load_source(config.data, config.prompts, 0))
    tokens = (*tokenizer.encode(" ".join(response)), *((1,) if ends else ()))
    forced, start = end_in_answer(tokens, PROBLEM, prompter)
    assert prompter.source.grade(tokenizer.decode(forced), PROBLEM).correct
    assert forced.count(1) == 1 and forced[-1] == 1 and tokenizer.decode(forced[start:]) == "5"
