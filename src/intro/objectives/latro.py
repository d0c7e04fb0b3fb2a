"""LaTRO (arXiv 2411.04282): the policy's own log pi(y|x,z) is the reward; no grade is needed.

A sampled rationale is cut where its answer begins and ends in the gold answer instead, whose tokens are marked.
R = log pi(y|x,z) - beta (log pi(z|x) - log pi_0(z|x)), with a leave-one-out baseline over the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from intro.config import Normalisation
from intro.objectives.base import Objective, every_rationale, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Latro(Objective):
    objective: Literal["latro"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS, Signal.LOGPROBS, Signal.REFERENCE, Signal.ANSWER_LOGPROB})
    normalisation: Normalisation = "sum"
    beta: float = Field(
        0.05,
        ge=0,
        description="weight of the penalty on log pi(z given x) minus its value under the base model. "
        "Source: LaTRO's paper",
    )
    answer_weight: float = Field(
        1.0,
        ge=0,
        description="lambda: weight of the gold answer's own log-likelihood in the loss. "
        "Source: ours: the plain gradient of log pi(y given x, z)",
    )

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
