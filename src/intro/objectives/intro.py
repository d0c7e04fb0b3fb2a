"""InTRO (arXiv 2511.09865): Algorithm 1 and Eq. 7, the idea that this repository reproduces.

Eq. 7 maximises, over problems (x, y) and correct rationales z that the policy pi sampled for x,

    E_(x,y) E_z [ 1/|z| sum_t  1/n sum_i  w_t^i log pi(z_t^i | x, z_<t) ]                  z_t^i: candidates
    w_t^i = min( pi(z_t^i | x (+) y, z_<t) / pi(z_t^i | x, z_<t),  c )   without gradient  w: correction factors

`weights` carry 1/|z| and the means over rationales and problems (base.rationale_weights). Callers chunk the positions
(model/chunked_loss.py); the functions here process all rows at once.
"""

from __future__ import annotations

from math import log
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
        n = None if self.n == "infinite" else self.n
        result = eq_7(batch, weights, n, self.clip, self.own_token, float(self.control_variate), generator)
        w, clipped = (result.metrics[name].double() for name in ("correction", "clipped"))
        return Loss(result.loss, {"correction_mean": w, "correction_max": w, "clipped_share": clipped})


def eq_7(
    batch: LossBatch, weights: Tensor, n: int | None, clip: float, own_token: OwnToken, baseline: float,
    generator: Generator | None,
) -> Loss:  # fmt: skip
    """Minus Eq. 7: -sum_t weights[t] 1/n sum_i w_t^i log pi(z_t^i | x, z_<t), with the options of `library.intro_loss`.

    Metrics as in `library.IntroLoss`: "correction" and "clipped", [N, n] or [N, 1].
    """
    import torch

    from intro.model.logprobs import clipped_cross_entropy, drawn_logprobs, logprobs_at

    policy = batch.policy_hidden, batch.lm_head  # [N, d], [V, d]
    posterior_head = batch.lm_head if batch.posterior_head is None else batch.posterior_head
    posterior = batch.posterior_hidden.detach(), posterior_head.detach()
    if n is None:  # the mean over draws becomes a sum over the vocabulary: -sum_v min(p'_v, c p_v) log p_v
        per_token, w, clipped = clipped_cross_entropy(*policy, *posterior, clip)  # [N] each
        return Loss((weights * per_token).sum(), {"correction": w[:, None], "clipped": clipped[:, None]})

    first = 0 if own_token == "excluded" else 1
    own = batch.tokens[:, None][:, :first]  # [N, 1], or [N, 0] when all n are drawn
    # candidates z_t^i [N, n] and log pi(z_t^i | x, z_<t) [N, n]
    log_pi, z = drawn_logprobs(*policy, own, lambda p: draw_candidates(p, own, n, generator))
    with torch.no_grad():
        log_w = logprobs_at(*posterior, z) - log_pi  # [N, n] before the clip
        w = log_w.clamp(max=log(clip)).exp()  # [N, n] clipped in logarithms, where nothing overflows
        factor = w - baseline  # [N, n]
        if own_token != "excluded":
            factor[:, 0] = w[:, 0] if own_token == "weighted" else 1.0
    per_token = -(factor * log_pi).mean(-1)  # [N]
    return Loss((weights * per_token).sum(), {"correction": w, "clipped": log_w > log(clip)})


def draw_candidates(p: Tensor, own: Tensor, n: int, generator: Generator | None) -> Tensor:
    """Candidates z_t^i [N, n]: the rationale's own token [N, 1] first (or none, [N, 0]), the rest i.i.d. from p [N, V].

    Draws are with replacement: duplicates are correct samples, and removing them would bias Eq. 7.
    """
    import torch

    from intro.model.logprobs import sample

    return own if own.shape[1] == n else torch.cat([own, sample(p, n - own.shape[1], generator)], dim=1)
