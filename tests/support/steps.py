"""The same few updates of a random model under any backend and number of ranks, for tests and their ranks."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

import toy
from intro.config import Hardware
from intro.model.scoring import Rationale
from intro.objectives import build
from intro.training.backends.base import AdamW, Backend
from intro.training.backends.build import build_backend
from intro.training.distributed import ALONE, Ranks
from intro.training.minibatches import Networks, minibatches_of, precompute_logprobs
from intro.training.policy_loss import PolicyLoss
from intro.training.samples import Sample
from intro.training.update import accumulate_gradient

PROMPTS, GROUP, VOCABULARY = 4, 3, 20
METHODS = {"intro": {"n": "infinite", "clip": 1.5}, "grpo": {}}  # they draw nothing in the loss
ADAMW = AdamW(lr=0.003, updates=10, betas=(0.9, 0.95), weight_decay=0.01, gradient_clip=0.5, warmup=0.0)
# which rationales are correct, step by step. The first of two ranks has rows 0 and 2: unequal numbers, then the second
# rank has none, then the first
RIGHT = (
    ((1, 0, 1), (1, 1, 1), (1, 0, 1), (0, 1, 1)),
    ((1, 0, 1), (0, 0, 0), (1, 0, 0), (0, 0, 0)),
    ((0, 0, 0), (1, 0, 1), (0, 0, 0), (1, 1, 0)),
)


def sample(step: int, ranks: Ranks = ALONE) -> Sample:
    """A rank's shard of ragged rationales, graded by RIGHT."""
    g = torch.Generator().manual_seed(step)
    rows = []
    for p in range(PROMPTS):
        prompt = toy.random_tokens(2 + p, VOCABULARY, g)
        given = (*prompt, *toy.random_tokens(3, VOCABULARY, g))
        lengths = torch.randint(2, 9, (GROUP,), generator=g).tolist()
        rows.append([Rationale(prompt, toy.random_tokens(n, VOCABULARY, g), p, given) for n in lengths])
    mine = ranks.shard(range(PROMPTS))
    rationales = [r for p in mine for r in rows[p]]
    right = torch.tensor(RIGHT[step], dtype=torch.float32)[mine].view(len(mine), GROUP)
    return Sample(rationales, right, torch.zeros_like(right, dtype=torch.bool), 5, 1.0)


@dataclass
class Run:
    """A run of updates; losses and norms get one element per update."""

    backend: Backend
    networks: Networks
    budget: int
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def steps(self, numbers: range) -> Run:
        objective, ranks = self.backend.policy_loss.objective, self.backend.ranks
        for number in numbers:
            drawn = sample(number, ranks)
            precomputed = precompute_logprobs(drawn, objective, self.networks, self.budget)
            for minibatch in minibatches_of(drawn, precomputed, objective, self.networks, self.budget, ranks):
                if minibatch.kept:
                    metrics = accumulate_gradient(
                        minibatch, self.backend, self.networks, self.budget, torch.Generator()
                    )
                    self.losses.append(sum(ranks.gather(metrics.sums["loss"])))
                    self.norms.append(self.backend.step(0.003))
        return self

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.backend.replica.parameters()]


def start(name: str, tied: bool, hardware: Hardware = Hardware(), budget: int = 40) -> Run:  # noqa: B008
    policy = toy.random_model("qwen3", tied)
    base = copy.deepcopy(policy)
    toy.disturb(base, seed=3)
    dtype = getattr(torch, hardware.dtype)
    for parameter in base.parameters():  # not `base.to`, which would round the rotary frequencies as well
        parameter.data = parameter.data.to(dtype)
    backend = build_backend(PolicyLoss(policy, build(name, **METHODS[name])), ADAMW, hardware)
    replica = backend.replica
    return Run(backend, Networks(replica, base, replica if name == "intro" else None), budget)


def resumed(name: str, tied: bool, hardware: Hardware, folder: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Weights after three steps, the last one taken by the same run and by another that was restored."""
    first = start(name, tied, hardware).steps(range(2))
    state = copy.deepcopy(first.backend.save(folder, 2))  # a checkpoint is written at once; here the run goes on
    whole = first.steps(range(2, 3)).weights()
    second = start(name, tied, hardware)
    second.backend.restore(state, folder)
    return whole, second.steps(range(2, 3)).weights()
