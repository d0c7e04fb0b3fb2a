"""GRPO (arXiv 2402.03300): clipped ratio, group-standardised advantage, k3 penalty to the base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from intro.model.logprobs import token_logprobs
from intro.objectives.base import Normalisation, clipped_ratio, group_advantage
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal


@dataclass(frozen=True)
class Grpo:
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.ROLLOUTS, Signal.OLD_LOGPROBS, Signal.REFERENCE})
    normalisation: Normalisation = "rationale"
    updates_per_rollout: int = 2
    ratio_clip: float = 0.2
    kl: float = 1e-3
    epsilon: float = 1e-4

    def credit(self, outcomes: Outcomes) -> Credit:
        rewards = outcomes.rewards  # [P, G]
        spread = rewards.std(dim=1, keepdim=True, correction=0) + self.epsilon
        # groups of equal rewards stay: they have A = 0 but feel the KL penalty, and count in the mean
        return Credit(torch.ones_like(outcomes.truncated), group_advantage(rewards) / spread)

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        logp = token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)  # [N]
        advantage = batch.advantage[batch.rationale]  # [N]
        per_token, held = clipped_ratio(logp, batch.old_logprobs, advantage, self.ratio_clip)
        log_ratio = batch.reference_logprobs - logp
        k3 = log_ratio.exp() - 1 - log_ratio
        metrics = {"ratio_clipped_share": held.double(), "k3": k3.detach()}
        return Loss((weights * (per_token + self.kl * k3)).sum(), metrics)
