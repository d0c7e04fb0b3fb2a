"""InTRO (arXiv 2511.09865), Algorithm 1 and Eq. 7: the idea this repository is about.

Eq. 7   maximise  E_(x,y) E_z [ 1/(|z| n) sum_t sum_i  w_t^i log pi(z_t^i | x, z_<t) ]
        w_t^i  =  pi(z_t^i | x (+) y, z_<t) / pi(z_t^i | x, z_<t),  detached, clipped to [0, c]

Per position t the n candidates are the rationale's own token and n-1 draws from pi(. | x, z_<t). The reward only
filters: rationales with a wrong answer are dropped. 1/|z| and the means over rationales and prompts are in
`weights` (protocol.rationale_weights); candidates, w and the inner mean are in lm.head.intro_loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Generator, Tensor

from intro.model.logprobs import OwnToken, intro_loss
from intro.objectives.base import Normalisation, Posterior, correct_and_complete
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal


@dataclass(frozen=True)
class Intro:
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.ROLLOUTS, Signal.POSTERIOR})
    normalisation: Normalisation = "prompt"
    updates_per_rollout: int = 1
    n: int | Literal["infinite"] = 5  # candidates per position; "infinite" sums over the vocabulary
    clip: float = 200.0  # c
    own_token: OwnToken = "weighted"
    control_variate: bool = False
    posterior: Literal["live", "frozen", "average"] = "live"
    decay: float = 0.95
    prompt: str = "posterior"
    answer: Literal["gold", "wrong", "none"] = "gold"

    @property
    def source(self) -> Posterior:
        """Where the estimated posterior pi(. | x (+) y) comes from."""
        return Posterior(self.posterior, self.decay, self.prompt, self.answer)

    def credit(self, outcomes: Outcomes) -> Credit:
        # Algorithm 1: drop the rationales whose answer is wrong; there is no advantage
        return Credit(correct_and_complete(outcomes), outcomes.rewards)

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        result = intro_loss(  # Eq. 7
            batch.policy_hidden,
            batch.posterior_hidden,
            batch.lm_head,
            batch.tokens,
            weights,
            n=None if self.n == "infinite" else self.n,
            clip=self.clip,
            posterior_head=batch.posterior_head,
            own_token=self.own_token,
            baseline=1.0 if self.control_variate else 0.0,
            generator=generator,
        )
        correction = result.correction
        metrics = {"correction_mean": correction, "correction_max": correction, "clipped_share": result.clipped}
        return Loss(result.loss, {name: value.double() for name, value in metrics.items()})
