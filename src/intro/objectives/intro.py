"""InTRO (arXiv 2511.09865), Algorithm 1 and Eq. 7: the idea this repository is about.

Eq. 7   maximise  E_(x,y) E_z [ 1/(|z| n) sum_t sum_i  w_t^i log pi(z_t^i | x, z_<t) ]
        w_t^i  =  pi(z_t^i | x (+) y, z_<t) / pi(z_t^i | x, z_<t),  detached, clipped to [0, c]

Per position t the n candidates are the rationale's own token and n-1 draws from pi(. | x, z_<t). The reward only
filters: rationales with a wrong answer are dropped. 1/|z| and the means over rationales and prompts are in
`weights` (protocol.rationale_weights); candidates, w and the inner mean are in lm.head.intro_loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from intro.config import Count, Normalisation
from intro.objectives.base import Objective, Posterior, correct_and_complete
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Intro(Objective):
    """Defaults follow the paper where it states a value, docs/deviations.md where it does not."""

    objective: Literal["intro"]
    needs: ClassVar = frozenset({Signal.ROLLOUTS, Signal.POSTERIOR})
    normalisation: Normalisation = "prompt"
    n: Count | Literal["infinite"] = Field(
        5,
        description="candidates per position, the rationale's own token included; `infinite` sums over the vocabulary. "
        "Source: paper",
    )
    clip: float = Field(200.0, gt=0, description="c: correction factors w are clipped to [0, c]. Source: paper")
    own_token: Literal["weighted", "unit", "excluded"] = Field(
        "weighted",
        description='the own token\'s weight: `weighted` (its w), `unit` (1, "consistent InTRO"), `excluded` (all n '
        "are drawn). Source: paper (Eq. 7); the others are ours, see [docs/theory.md](../docs/theory.md)",
    )
    control_variate: bool = Field(
        False, description="weight drawn candidates by w - 1 instead of w. Source: paper; the variant is ours"
    )
    posterior: Literal["live", "frozen", "average"] = Field(
        "live",
        description="network of the estimated posterior: `live` (the current policy), `frozen` (the base model), "
        "`average` (a moving average of the policy). Source: paper: the same network",
    )
    decay: float = Field(0.95, ge=0, le=1, description="decay of that moving average, per step. Source: ours")
    prompt: str = Field(
        "posterior",
        description="name of the posterior's template in `prompts`. Source: ours; not printed in the paper",
    )
    answer: Literal["gold", "wrong", "none"] = Field(
        "gold",
        description="what stands in the posterior's prompt: `gold`, `wrong` (a plausible wrong answer), `none` (the "
        "word for an unknown one). Source: paper; the other two are control experiments that the paper lacks",
    )

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
