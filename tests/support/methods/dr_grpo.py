"""Dr. GRPO (arXiv 2503.20783): GRPO without the division by the group's standard deviation and by the length."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.config import Count, Normalisation
from intro.objectives.base import Objective, clipped_ratio, every_rationale, group_advantage, option, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class DrGrpo(Objective):
    objective: Literal["dr-grpo"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS, Signal.OLD_LOGPROBS})
    normalisation: Normalisation = "sum"
    updates_per_rollout: Count = 2
    ratio_clip: float = option(0.2, "e: the policy ratio is clipped to [1 - e, 1 + e]", "PPO's usual value", gt=0)

    def credit(self, outcomes: Outcomes) -> Credit:
        return Credit(every_rationale(outcomes), group_advantage(outcomes.rewards))

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        advantage = batch.advantage[batch.rationale]  # [N]
        per_token, held = clipped_ratio(own_logprobs(batch), batch.old_logprobs, advantage, self.ratio_clip)
        return Loss((weights * per_token).sum(), {"ratio_clipped_share": held.double()})
