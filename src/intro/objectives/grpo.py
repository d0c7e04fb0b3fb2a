"""GRPO (arXiv 2402.03300): clipped ratio, group-standardised advantage, k3 penalty to the base model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.config import Count
from intro.objectives.base import Objective, clipped_ratio, every_rationale, group_advantage, option, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Grpo(Objective):
    objective: Literal["grpo"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS, Signal.OLD_LOGPROBS, Signal.REFERENCE})
    updates_per_rollout: Count = 2
    ratio_clip: float = option(0.2, "e: the policy ratio is clipped to [1 - e, 1 + e]", "ours: PPO's usual value", gt=0)
    kl: float = option(1e-3, "weight of the k3 penalty to the base model", "ours: common in public code", ge=0)
    epsilon: float = option(1e-4, "added to the group's standard deviation", "ours: common in public code", gt=0)

    def credit(self, outcomes: Outcomes) -> Credit:
        rewards = outcomes.rewards  # [P, G]
        spread = rewards.std(dim=1, keepdim=True, correction=0) + self.epsilon
        # groups of equal rewards stay: A = 0, but the KL penalty applies to them, and they count in the mean
        return Credit(every_rationale(outcomes), group_advantage(rewards) / spread)

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        logp = own_logprobs(batch)  # [N]
        advantage = batch.advantage[batch.rationale]  # [N]
        per_token, held = clipped_ratio(logp, batch.old_logprobs, advantage, self.ratio_clip)
        log_ratio = batch.reference_logprobs - logp
        k3 = log_ratio.exp() - 1 - log_ratio
        metrics = {"ratio_clipped_share": held.double(), "k3": k3.detach()}
        return Loss((weights * (per_token + self.kl * k3)).sum(), metrics)
