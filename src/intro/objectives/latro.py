"""LaTRO (arXiv 2411.04282): the policy's own log pi(y|x,z) is the reward; no grade is needed.

A sampled rationale is cut where its answer begins and ends in the gold answer instead, whose tokens are marked.
R = log pi(y|x,z) - beta (log pi(z|x) - log pi_0(z|x)), with a leave-one-out baseline over the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.config import Normalisation
from intro.objectives.base import Objective, every_rationale, option, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Latro(Objective):
    objective: Literal["latro"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS, Signal.LOGPROBS, Signal.REFERENCE, Signal.ANSWER_LOGPROB})
    normalisation: Normalisation = "sum"
    beta: float = option(0.05, "weight of the penalty log pi(z given x) - log pi_0(z given x)", "LaTRO's paper", ge=0)
    answer_weight: float = option(1.0, "lambda: weight of the gold answer's log-likelihood", "ours: its gradient", ge=0)

    def credit(self, outcomes: Outcomes) -> Credit:
        drift = outcomes.logprobs - outcomes.reference_logprobs
        reward = outcomes.answer_logprobs - self.beta * drift  # [P, G]
        # the mean of the other G-1; a single sample has no baseline
        baseline = (reward.sum(dim=1, keepdim=True) - reward) / max(reward.shape[1] - 1, 1)
        return Credit(every_rationale(outcomes), reward - baseline)

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        advantage = batch.advantage[batch.rationale]  # [N]
        factor = advantage.masked_fill(batch.answer_mask, self.answer_weight)
        return Loss(-(weights * factor * own_logprobs(batch)).sum())
