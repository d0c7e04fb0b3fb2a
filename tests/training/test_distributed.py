"""Several ranks compute what one computes: shards, and gradients with weights from the counts of all ranks."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intro.config import Hardware
from intro.model.scoring import Rationale
from intro.objectives import build
from intro.training.backends.base import AdamW
from intro.training.backends.torch import Torch
from intro.training.distributed import ALONE, Ranks, join
from intro.training.metrics import MetricAccumulator
from intro.training.minibatches import Networks, minibatches_of, precompute_logprobs
from intro.training.policy_loss import PolicyLoss
from intro.training.samples import Sample
from intro.training.update import accumulate_gradient
from toy import disturb, random_model, random_tokens

STILL = AdamW(lr=0.0, updates=1, betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, warmup=0.0)
PROMPTS, GROUP, VOCABULARY = 8, 2, 20
METHODS = {
    "sft": {},
    "raft++": {"updates_per_rollout": 2},
    "gpg": {},
    "grpo": {"updates_per_rollout": 2, "kl": 0.3},
    "latro": {},
    "intro": {"n": "infinite", "clip": 1.5},
}


@dataclass(frozen=True)
class Threads(Ranks):
    """Ranks that are threads of this process."""

    collective: Any = field(default=None)

    def gather(self, mine: Any) -> list[Any]:
        barrier, table = self.collective
        table[self.rank] = mine
        barrier.wait(60)
        everybody = list(table)
        barrier.wait(60)
        return everybody


def test_one_process_needs_no_process_group() -> None:
    """torch.distributed is never initialised."""
    assert (
        ALONE.gather(3) == [3] and ALONE.gather_in_order([1, 2]) == ALONE.shard([1, 2]) == [1, 2] and ALONE.max(4) == 4
    )
    assert ALONE.first and ALONE.name == () and join(Hardware()) is ALONE
    ALONE.barrier()
    assert not torch.distributed.is_initialized()


@given(st.lists(st.integers(), max_size=20), st.integers(1, 9))
def test_shares_are_a_fair_partition(whole: list[int], size: int) -> None:
    """Every item belongs to one rank, and the ranks' numbers of items differ by at most one in any slice."""
    numbered = list(enumerate(whole))
    shares = [Ranks(r, size).shard(numbered) for r in range(size)]
    assert sorted(i for share in shares for i in share) == numbered
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def on_threads(size: int, work) -> list:
    """What `work(ranks)` returns in each of `size` threads."""
    collective, out, errors = (threading.Barrier(size), [None] * size), [None] * size, []

    def run(rank: int) -> None:
        try:
            out[rank] = work(Threads(rank, size, collective))
        except BaseException as error:
            errors.append(error)
            collective[0].abort()

    threads = [threading.Thread(target=run, args=(r,)) for r in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return out


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
@settings(max_examples=20)
def test_gather_in_order_is_the_inverse_of_shard(whole: list[int], size: int) -> None:
    assert on_threads(size, lambda ranks: ranks.gather_in_order(ranks.shard(whole))) == [whole] * size


def drawn(right: list[int], seed: int, ranks: Ranks, forced: bool) -> Sample:
    """A rank's shard of PROMPTS x GROUP ragged rationales."""
    g = torch.Generator().manual_seed(seed)
    rows = []
    for p in range(PROMPTS):
        prompt = random_tokens(2 + p % 3, VOCABULARY, g)
        lengths = torch.randint(2, 8, (GROUP,), generator=g).tolist()
        given = (*prompt, 3, 4)
        rows.append([
            Rationale(prompt, random_tokens(n, VOCABULARY, g), p, given, n - 1 if forced else None) for n in lengths
        ])  # fmt: skip
    mine = ranks.shard(range(PROMPTS))
    rewards = torch.tensor(right, dtype=torch.float64).view(PROMPTS, GROUP)[mine]
    return Sample([r for p in mine for r in rows[p]], rewards, torch.zeros_like(rewards, dtype=torch.bool), 1, 1.0)


@given(
    name=st.sampled_from(sorted(METHODS)),
    normalisation=st.sampled_from(["prompt", "rationale", "token", "sum"]),
    right=st.lists(st.integers(0, 1), min_size=PROMPTS * GROUP, max_size=PROMPTS * GROUP),
    split=st.sampled_from([(1, 1), (1, 10**6), (2, 30), (4, 1), (8, 10**6), (11, 20)]),  # ranks, budget
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_any_number_of_ranks_and_micro_batches_gives_the_same_gradient(
    name: str, normalisation: str, right: list[int], split: tuple[int, int], seed: int
) -> None:
    """Sums over ranks of losses and gradients in fp64, for any kept rationales; also with more ranks than prompts."""
    policy = random_model("qwen3").double()
    base = copy.deepcopy(policy)
    disturb(base, seed=8)
    objective = build(name, **(METHODS[name] | {"normalisation": normalisation}))

    def update(ranks: Ranks, budget: int) -> tuple[MetricAccumulator, list[torch.Tensor], list[int]]:
        own = copy.deepcopy(policy)
        networks = Networks(own, base, own if name == "intro" else None)
        sample = drawn(right, seed, ranks, name == "latro")
        backend, metrics = Torch(PolicyLoss(own, objective), STILL), MetricAccumulator()
        backend.ranks = ranks
        precomputed = precompute_logprobs(sample, objective, networks, budget)
        minibatches = minibatches_of(sample, precomputed, objective, networks, budget, ranks)
        for minibatch in minibatches:
            if minibatch.kept:
                metrics.merge(accumulate_gradient(minibatch, backend, networks, budget, torch.Generator()))
        return (
            metrics,
            [torch.zeros_like(p) if p.grad is None else p.grad for p in own.parameters()],
            [len(minibatch.rationales) for minibatch in minibatches],
        )

    metrics, gradient, kept = update(ALONE, 10**6)
    size, budget = split
    several = on_threads(size, lambda ranks: update(ranks, budget))
    assert [sum(part) for part in zip(*(counts for _, _, counts in several), strict=True)] == kept
    merged = MetricAccumulator()
    for other, _, _ in several:
        merged.merge(other)
    assert merged.means() == pytest.approx(metrics.means())
    for parts in zip(gradient, *(g for _, g, _ in several), strict=True):
        torch.testing.assert_close(torch.stack(parts[1:]).sum(0), parts[0], rtol=1e-8, atol=1e-12)
