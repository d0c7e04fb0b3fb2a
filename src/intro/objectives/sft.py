"""SFT, Eq. 1: minimise -log pi(z*, y | x) of the data set's gold rationale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from intro.model.logprobs import token_logprobs
from intro.objectives.base import Normalisation
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal


@dataclass(frozen=True)
class Sft:
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.GOLD_RATIONALE})
    normalisation: Normalisation = "rationale"
    updates_per_rollout: int = 1

    def credit(self, outcomes: Outcomes) -> Credit:
        return Credit(torch.ones_like(outcomes.truncated), torch.ones_like(outcomes.rewards))

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        logp = token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)  # [N]
        return Loss(-(weights * logp).sum())
