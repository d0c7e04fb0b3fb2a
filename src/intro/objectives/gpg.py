"""GPG (arXiv 2504.02546): -A log pi with A = r - mean(r) of the group; no ratio clip, no KL.

The paper divides by the share of groups with mixed rewards. A group of equal rewards has A = 0, so leaving it
out of the mean is the same division.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from intro.model.logprobs import token_logprobs
from intro.objectives.base import Normalisation, group_advantage
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal


@dataclass(frozen=True)
class Gpg:
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.ROLLOUTS})
    normalisation: Normalisation = "rationale"
    updates_per_rollout: int = 1

    def credit(self, outcomes: Outcomes) -> Credit:
        rewards = outcomes.rewards  # [P, G]
        mixed = (rewards != rewards[:, :1]).any(dim=1, keepdim=True)  # [P, 1]
        return Credit(mixed.expand_as(rewards), group_advantage(rewards))

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        logp = token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)  # [N]
        return Loss(-(weights * batch.advantage[batch.rationale] * logp).sum())
