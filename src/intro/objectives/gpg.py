"""GPG (arXiv 2504.02546): -A log pi with A = r - mean(r) of the group; no ratio clip, no KL.

The paper divides by the share of groups with mixed rewards. A group of equal rewards has A = 0, so leaving it
out of the mean is the same division.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.objectives.base import Objective, group_advantage, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Gpg(Objective):
    objective: Literal["gpg"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS})

    def credit(self, outcomes: Outcomes) -> Credit:
        rewards = outcomes.rewards  # [P, G]
        mixed = (rewards != rewards[:, :1]).any(dim=1, keepdim=True)  # [P, 1]
        return Credit(mixed.expand_as(rewards), group_advantage(rewards))

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        return Loss(-(weights * batch.advantage[batch.rationale] * own_logprobs(batch)).sum())
