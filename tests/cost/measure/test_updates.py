"""Cost of an update: the passes that each method needs, on the same tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

import toy
from intro.config import Config, parse
from intro.cost.measure.step import Step
from intro.cost.measure.updates import cost_check, fixed_sample
from intro.experiments import base_folder
from intro.model.load import load_model
from intro.model.scoring import microbatches
from intro.objectives import build
from intro.tasks.registry import load_source
from intro.training.samples import Prompter

PASSES = {"sft": 1, "intro": 2, "raft++": 1.5, "grpo": 2.5}  # two updates a step: old log-probs of the second


@pytest.fixture(scope="module")
def world(toy_root: Path) -> Config:
    return parse(toy.mapping(toy_root))


def update(world: Config, name: str) -> Step:
    source = load_source(world.data, world.prompts, world.seed)
    sample = fixed_sample(world, Prompter(toy.tokenizer_of(world, "qwen2-s"), world.prompts, source), 60)
    policy, base = (load_model(base_folder(world, "qwen2-s")) for _ in range(2))
    return Step(build(name), sample, policy, base)


@pytest.mark.parametrize(("name", "passes"), PASSES.items())
def test_passes_per_rationale(world: Config, name: str, passes: float) -> None:
    """The number is that of rows that go through the networks' trunks while one update runs, by rationale."""
    made = update(world, name)
    rows = []
    for network in {id(n): n for n in (made.networks.policy, made.networks.base)}.values():
        network.model.register_forward_hook(lambda *call: rows.append(call[2]["packing"].rows), with_kwargs=True)
    made()
    assert len(made.sample.rationales) % 2 == 0  # else halves are none
    assert made.objective.forward_passes.total == passes == sum(rows) / len(made.sample.rationales)


def test_without_a_budget_all_is_one_micro_batch(world: Config) -> None:
    """However unlike the rationales' lengths are: methods are compared on one pass over the same rows."""
    made = update(world, "sft")
    *others, last = made.sample.rationales
    sample = replace(made.sample, rationales=[*others * 4, replace(last, tokens=last.tokens * 50)])
    uneven = Step(made.objective, sample, made.networks.policy, made.networks.base)
    assert len(microbatches(sample.rationales, uneven.budget)) == 1
    tokens = sum(len(r.posterior_prompt) + len(r.tokens) for r in sample.rationales)
    assert len(microbatches(sample.rationales, tokens)) > 1, "these lengths are too alike to say anything"


def test_an_update_leaves_no_trace(world: Config) -> None:
    """Repeated measurements are of the same work: weights stay and gradients are gone."""
    made = update(world, "intro")
    before = [p.detach().clone() for p in made.networks.policy.parameters()]
    made()
    for p, old in zip(made.networks.policy.parameters(), before, strict=True):
        assert torch.equal(p, old) and p.grad is None


def test_flops_follow_the_passes(world: Config) -> None:
    """A pass without gradient costs about a third of one with; posterior prompts are a little longer."""
    flops = {name: update(world, name).flops() for name in PASSES}
    assert 1.2 < flops["intro"] / flops["sft"] < 1.6 and 1.3 < flops["grpo"] / flops["sft"] < 1.55
    assert 1.05 < flops["raft++"] / flops["sft"] < 1.2


def test_fixed_sample_has_about_the_tokens_asked_for(world: Config) -> None:
    sample = update(world, "sft").sample
    lengths = [len(r.tokens) for r in sample.rationales]
    assert sum(lengths[:-1]) < 60 <= sum(lengths)
    assert all(r.posterior_prompt is not None for r in sample.rationales) and (sample.rewards == 1).all()


def test_command_writes_one_row_per_method(toy_config: Config) -> None:
    cost_check(toy_config)
    table = pd.read_csv(toy_config.results_dir / "cost.csv").set_index("method")
    assert " ".join(table.reset_index().columns) == (
        "method forward_passes backward_passes tokens flops seconds_median ratio_median ratio_low ratio_high "
        "peak_bytes runs"
    )
    assert dict(table.forward_passes) == {"sft": 1, "grpo": 2.5, "intro": 2}
    assert table.loc["sft", ["ratio_low", "ratio_median", "ratio_high"]].tolist() == [1, 1, 1]
    assert (table.peak_bytes > 0).all() and table.tokens.nunique() == 1
