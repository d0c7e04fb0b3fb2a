"""RAFT++ (arXiv 2504.11343): PPO's clipped policy gradient with A = max(r, 0), so only correct samples act.

With one update per rollout rho = 1 everywhere, and this is rejection-sampling fine-tuning (RFT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from intro.model.logprobs import token_logprobs
from intro.objectives.base import Normalisation, clipped_ratio, correct_and_complete
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal


@dataclass(frozen=True)
class RaftPlusPlus:
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.ROLLOUTS, Signal.OLD_LOGPROBS})
    normalisation: Normalisation = "rationale"
    updates_per_rollout: int = 2
    ratio_clip: float = 0.2

    def credit(self, outcomes: Outcomes) -> Credit:
        return Credit(correct_and_complete(outcomes), outcomes.rewards.clamp(min=0))

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        logp = token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)  # [N]
        advantage = batch.advantage[batch.rationale]  # [N]
        per_token, held = clipped_ratio(logp, batch.old_logprobs, advantage, self.ratio_clip)
        return Loss((weights * per_token).sum(), {"ratio_clipped_share": held.double()})
