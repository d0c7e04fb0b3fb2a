"""UPFT (arXiv 2503.02875): fine-tuning on the first tokens of the policy's own samples; grades are not used."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.config import Count, Normalisation
from intro.objectives.base import Objective, every_rationale, option, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Upft(Objective):
    objective: Literal["upft"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS})
    normalisation: Normalisation = "sum"
    prefix: Count = option(8, "tokens of a rationale that are learned from", "ours: answers here are short")

    def credit(self, outcomes: Outcomes) -> Credit:
        return Credit(every_rationale(outcomes), outcomes.rewards)

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        learned = batch.position < self.prefix  # [N]
        return Loss(-(weights / self.prefix * learned * own_logprobs(batch)).sum())
