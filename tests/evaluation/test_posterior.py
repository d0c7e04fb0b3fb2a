"""The true posterior against the estimated one: the sum by hand, the enumeration by brute force, Bayes by sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import pandas as pd
import pytest
import torch

import toy
from intro.config import Config, parse
from intro.evaluation.posterior import (
    Subject,
    by_enumeration,
    by_sampling,
    enumerate_rationales,
    posterior_check,
    sequence_kl,
)
from intro.types import Grade, Problem

LENGTH, VOCABULARY, END = 3, 5, 0
PROBLEM = Problem("p", "chain-2", "1 2", "3")


class Digits:
    """A tokenizer whose words are the token ids."""

    stop, pad = (END,), 0

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, tokens) -> str:
        return " ".join(str(t) for t in tokens if t != END)


@dataclass
class OddSum:
    """Rationales whose words have an odd sum are correct."""

    def grade_all(self, pairs: list[tuple[str, Problem]]) -> list[Grade]:
        return [Grade(sum(map(int, text.split())) % 2 == 1, text, "") for text, _ in pairs]


@pytest.fixture(scope="module")
def subject() -> Subject:
    model = toy.random_model("qwen2", vocabulary=VOCABULARY, seed=4)
    with torch.no_grad():
        model.model.norm.weight *= 0.5  # flatter: no rationale is out of reach
    return Subject("m", model, Digits(), OddSum(), {"question": "{question} 4", "posterior": "{question} {answer} 4"})


def brute_force(subject: Subject, template: str) -> dict[tuple[int, ...], float]:
    """log probability of every rationale of at most LENGTH tokens that ends, one token at a time."""
    prompt = subject.prompt(template, PROBLEM)
    found = {}
    for length in range(LENGTH):
        for body in product(range(1, VOCABULARY), repeat=length):
            z, total = (*body, END), 0.0
            for t, token in enumerate(z):
                with torch.no_grad():
                    logits = subject.model(torch.tensor([[*prompt, *z[:t]]])).logits[0, -1].double()
                total += float(logits.log_softmax(-1)[token])
            found[z] = total
    return found


def kl_by_hand(subject: Subject, kept: list[tuple[int, ...]]) -> float:
    prior, posterior = brute_force(subject, "question"), brute_force(subject, "posterior")
    mass = sum(math.exp(prior[z]) for z in kept)
    return sum(math.exp(prior[z]) / mass * (prior[z] - math.log(mass) - posterior[z]) for z in kept)


def odd(found) -> list[tuple[int, ...]]:
    return [z for z in found if sum(z) % 2 == 1]


def test_sequence_kl_by_hand() -> None:
    """(1/4) ln(1/2) + (3/4) ln(3/2)."""
    true, estimated = torch.tensor([0.25, 0.75]).double(), torch.tensor([0.5, 0.5]).double()
    got = sequence_kl(true.log(), estimated.log(), true)
    assert got == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))


def test_enumeration_finds_every_rationale(subject: Subject) -> None:
    """Without a floor it finds all, with their probabilities; the remaining mass belongs to longer ones."""
    found, logs = enumerate_rationales(subject, PROBLEM, 1e-30, LENGTH)
    wanted = brute_force(subject, "question")
    assert sorted(found) == sorted(wanted) and len(found) == 1 + 4 + 16
    assert logs.tolist() == pytest.approx([wanted[z] for z in found], abs=1e-4)
    prompt, unfinished = subject.prompt("question", PROBLEM), 0.0
    for body in product(range(1, VOCABULARY), repeat=LENGTH):
        parts = subject.logprobs("question", PROBLEM, [body])
        unfinished += float(parts.exp()[0])
    assert len(prompt) == 3 and float(logs.exp().sum()) + unfinished == pytest.approx(1, abs=1e-5)


def test_floor_leaves_out_unlikely_prefixes_alone(subject: Subject) -> None:
    """A rationale is found exactly when its probability, the smallest of its prefixes', is above the floor."""
    wanted = brute_force(subject, "question")
    floor = math.exp(sorted(wanted.values())[len(wanted) // 2] - 1e-6)
    found, logs = enumerate_rationales(subject, PROBLEM, floor, LENGTH)
    assert sorted(found) == sorted(z for z, p in wanted.items() if p >= math.log(floor))
    assert 0 < float(logs.exp().sum()) < sum(math.exp(p) for p in wanted.values())


def test_enumerated_kl_equals_the_sum_by_hand(subject: Subject) -> None:
    row = by_enumeration(subject, PROBLEM, 1e-30, LENGTH)
    wanted = brute_force(subject, "question")
    right = odd(wanted)
    assert row["kl"] == pytest.approx(kl_by_hand(subject, right), abs=1e-4) and row["kl"] > 0.05
    assert row["rationales"] == len(right) and row["estimate"] == "enumeration"
    assert row["covered"] == pytest.approx(sum(math.exp(p) for p in wanted.values()), abs=1e-5)
    shares = torch.tensor([wanted[z] for z in right], dtype=torch.float64).softmax(0)
    assert row["effective_sample_size"] == pytest.approx(float(1 / shares.square().sum()), rel=1e-4)


def test_sampled_kl_agrees_with_the_enumerated_one(subject: Subject) -> None:
    """20,000 rationales by Bayes' rule: exact samples of the true posterior over rationales of this length."""
    row = by_sampling(subject, PROBLEM, 20_000, LENGTH)
    assert row["kl"] == pytest.approx(kl_by_hand(subject, odd(brute_force(subject, "question"))), abs=0.05)
    assert row["estimate"] == "bayes" and row["covered"] is None and row["effective_sample_size"] > 1


def test_problem_that_is_never_solved_has_no_row(subject: Subject) -> None:
    class Never(OddSum):
        def grade_all(self, pairs: list[tuple[str, Problem]]) -> list[Grade]:
            return [Grade(False, None, "no answer") for _ in pairs]

    hopeless = Subject("m", subject.model, subject.tokenizer, Never(), subject.prompts)
    assert by_sampling(hopeless, PROBLEM, 50, LENGTH) is None
    assert by_enumeration(hopeless, PROBLEM, 1e-30, LENGTH) is None


def test_command_writes_a_row_per_problem_that_was_solved(toy_config: Config, tmp_path) -> None:
    """The random toy model solves nothing: the table is empty and has its columns and record."""
    mapping = toy.mapping(tmp_path) | {
        "posterior": {"models": ["qwen2-s"], "problems": 2, "rationales": 5, "enumerated": 1, "floor": 0.05}
    }
    posterior_check(parse(mapping))
    table = pd.read_csv(toy_config.results_dir / "posterior.csv")
    assert table.empty and list(table.columns)[:4] == ["model", "estimate", "problem", "rationales"]
    assert (toy_config.results_dir / "posterior.record.json").is_file()
