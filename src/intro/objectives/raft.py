"""RAFT++ (arXiv 2504.11343): PPO's clipped policy gradient with A = max(r, 0), so only correct samples act.

With one update per rollout rho = 1 everywhere, and this is rejection-sampling fine-tuning (RFT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.config import Count
from intro.objectives.base import Objective, clipped_ratio, correct_and_complete, option, own_logprobs
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class RaftPlusPlus(Objective):
    objective: Literal["raft++"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS, Signal.OLD_LOGPROBS})
    updates_per_rollout: Count = 2
    ratio_clip: float = option(0.2, "e: the policy ratio is clipped to [1 - e, 1 + e]", "ours: PPO's usual value", gt=0)

    def credit(self, outcomes: Outcomes) -> Credit:
        return Credit(correct_and_complete(outcomes), outcomes.rewards.clamp(min=0))

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        advantage = batch.advantage[batch.rationale]  # [N]
        per_token, held = clipped_ratio(own_logprobs(batch), batch.old_logprobs, advantage, self.ratio_clip)
        return Loss((weights * per_token).sum(), {"ratio_clipped_share": held.double()})
