"""InTRO (arXiv 2511.09865), Algorithm 1 and Eq. 7: the idea this repository is about.

Eq. 7   maximise  E_(x,y) E_z [ 1/(|z| n) sum_t sum_i  w_t^i log pi(z_t^i | x, z_<t) ]
        w_t^i  =  pi(z_t^i | x (+) y, z_<t) / pi(z_t^i | x, z_<t),  detached, clipped to [0, c]

Per position t the n candidates are the rationale's own token and n-1 draws from pi(. | x, z_<t). The reward only
filters: rationales with a wrong answer are dropped. 1/|z| and the means over rationales and prompts are in
`weights` (protocol.rationale_weights); candidates, w and the inner mean are in lm.head.intro_loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from intro.config import Count, Normalisation
from intro.objectives.base import Answer, Network, Objective, Posterior, correct_and_complete, option
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor

OwnToken = Literal["weighted", "unit", "excluded"]


class Intro(Objective):
    """Defaults follow the paper where it states a value, docs/deviations.md where it does not."""

    objective: Literal["intro"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS, Signal.POSTERIOR})
    normalisation: Normalisation = "prompt"
    n: Count | Literal["infinite"] = option(5, "candidates per position; `infinite`: the whole vocabulary", "paper")
    clip: float = option(200.0, "c: correction factors w are clipped to [0, c]", "paper", gt=0)
    own_token: OwnToken = option("weighted", "own token's factor: `weighted` w, `unit` 1, `excluded` none", "paper")
    control_variate: bool = option(False, "weight drawn candidates by w - 1 instead of w", "paper")
    posterior: Network = option("live", "network: `live` policy, `frozen` base model, moving `average`", "paper")
    decay: float = option(0.95, "decay of that moving average, per step", "ours", ge=0, le=1)
    prompt: str = option("posterior", "name of the posterior's template in `prompts`", "ours; not printed in the paper")
    answer: Answer = option("gold", "what that template states: `gold`, a `wrong` answer, or `none`", "paper")

    @property
    def posterior_source(self) -> Posterior:
        """Where the estimated posterior pi(. | x (+) y) comes from."""
        return Posterior(self.posterior, self.decay, self.prompt, self.answer)

    def credit(self, outcomes: Outcomes) -> Credit:
        # Algorithm 1: drop the rationales whose answer is wrong; there is no advantage
        return Credit(correct_and_complete(outcomes), outcomes.rewards)

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        from intro.model.logprobs import intro_loss

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
