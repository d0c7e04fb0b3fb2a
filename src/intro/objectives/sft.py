"""SFT, Eq. 1: minimise -log pi(z*, y | x) of the data set's gold rationale."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.objectives.base import Objective, every_rationale, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Sft(Objective):
    objective: Literal["sft"]
    needs: ClassVar = frozenset({Signal.GOLD_RATIONALE})

    def credit(self, outcomes: Outcomes) -> Credit:
        return Credit(every_rationale(outcomes), outcomes.rewards.new_ones(outcomes.rewards.shape))

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        return Loss(-(weights * own_logprobs(batch)).sum())
