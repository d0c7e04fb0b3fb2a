"""LaTRO (arXiv 2411.04282): the policy's own log pi(y|x,z) is the reward; no grade is needed.

A sampled rationale is cut where its answer begins and ends in the gold answer instead, whose tokens are marked.
R = log pi(y|x,z) - beta (log pi(z|x) - log pi_0(z|x)), with a leave-one-out baseline over the group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from intro.model.logprobs import token_logprobs
from intro.objectives.base import Normalisation
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal


@dataclass(frozen=True)
class Latro:
    needs: ClassVar[frozenset[Signal]] = frozenset(
        {Signal.ROLLOUTS, Signal.LOGPROBS, Signal.REFERENCE, Signal.ANSWER_LOGPROB}
    )
    normalisation: Normalisation = "sum"
    updates_per_rollout: int = 1
    beta: float = 0.05
    answer_weight: float = 1.0  # lambda

    def credit(self, outcomes: Outcomes) -> Credit:
        drift = outcomes.logprobs - outcomes.reference_logprobs
        reward = outcomes.answer_logprobs - self.beta * drift  # [P, G]
        group = reward.shape[1]
        others = (reward.sum(dim=1, keepdim=True) - reward) / max(group - 1, 1)
        baseline = others if group > 1 else torch.zeros_like(reward)
        return Credit(torch.ones_like(outcomes.truncated), reward - baseline)

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        logp = token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)  # [N]
        advantage = batch.advantage[batch.rationale]  # [N]
        answer = torch.full_like(advantage, self.answer_weight)
        return Loss(-(weights * torch.where(batch.answer_mask, answer, advantage) * logp).sum())
