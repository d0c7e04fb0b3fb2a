"""From hidden states to log-probabilities and to the loss of Eq. 7; every log-sum-exp is at least fp32."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

OwnToken = Literal["weighted", "unit", "excluded"]


@dataclass(frozen=True, slots=True)
class IntroLoss:
    """`.loss` is differentiable; the rest is detached, for the log."""

    loss: Tensor  # scalar
    correction: Tensor  # [N, n] the clipped w_t^i; [N, 1] their expectation when n is None
    clipped: Tensor  # [N, n] bool; [N, 1] whether any of the vocabulary was clipped when n is None


def log_distribution(hidden: Tensor, lm_head: Tensor) -> Tensor:
    """log pi(. | prefix) [N, V] of hidden states [N, d] under the head [V, d]."""
    logits = F.linear(hidden, lm_head)
    return torch.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def token_logprobs(hidden: Tensor, lm_head: Tensor, tokens: Tensor) -> Tensor:
    """log pi(z_t | prefix) [N], differentiable in `hidden` [N, d] and `lm_head` [V, d]; tokens [N]."""
    return log_distribution(hidden, lm_head).gather(1, tokens[:, None]).squeeze(1)


def token_entropies(hidden: Tensor, lm_head: Tensor) -> Tensor:
    """Entropy of the next-token distribution [N], in nats."""
    logp = log_distribution(hidden, lm_head)
    return -(logp.exp() * logp).sum(-1)


def draw_candidates(logp: Tensor, tokens: Tensor, n: int, own_token: OwnToken, generator: Generator | None) -> Tensor:
    """Candidates z_t^i [N, n]: the rationale's own token first (unless excluded), the rest i.i.d. from the policy.

    Draws are with replacement: duplicates are correct samples, removing them would bias Eq. 7.
    """
    drawn = n if own_token == "excluded" else n - 1
    own = tokens[:, None][:, : n - drawn]
    if drawn == 0:
        return own
    return torch.cat([own, torch.multinomial(logp.exp(), drawn, replacement=True, generator=generator)], dim=1)


def intro_loss(
    policy_hidden: Tensor,
    posterior_hidden: Tensor,
    lm_head: Tensor,
    tokens: Tensor,
    weights: Tensor,
    *,
    n: int | None,
    clip: float,
    posterior_head: Tensor | None = None,
    own_token: OwnToken = "weighted",
    baseline: float = 0.0,
    generator: Generator | None = None,
) -> IntroLoss:
    """Minus Eq. 7: - sum_j weights[j] * (1/n) sum_i w_j^i log pi(z_j^i | x, z_<j).

    w = min(posterior / policy, clip) is detached (the paper's fixed proposal). Shapes: hidden [N, d], heads [V, d],
    tokens [N], weights [N] (they carry 1/|z| and every other normaliser).
    n: candidates per position, the own token included; None sums over the whole vocabulary exactly.
    own_token: "weighted" gives the own token its w (paper), "unit" gives it 1, "excluded" draws all n.
    baseline: subtracted from w on drawn candidates only; 1.0 is the zero-mean control variate.
    Raises ValueError when n < 1 or clip <= 0.
    """
    if n is not None and n < 1:
        raise ValueError(f"n, the number of candidates, must be at least 1 or None, found {n}")
    if clip <= 0:
        raise ValueError(f"clip must be positive, found {clip}")
    logp = log_distribution(policy_hidden, lm_head)  # [N, V] log pi(. | x, z_<t)
    with torch.no_grad():
        head = lm_head if posterior_head is None else posterior_head
        log_ratio = log_distribution(posterior_hidden, head) - logp  # [N, V] log w before the clip
        w = log_ratio.clamp(max=math.log(clip)).exp()
    if n is None:
        mass = logp.detach().exp() * w  # [N, V] min(p'_v, c p_v)
        per_token = -(mass * logp).sum(-1)
        over = (log_ratio > math.log(clip)).any(-1, keepdim=True)
        return IntroLoss((weights * per_token).sum(), mass.sum(-1, keepdim=True), over)
    candidates = draw_candidates(logp.detach(), tokens, n, own_token, generator)  # [N, n]
    correction = w.gather(1, candidates)
    factor = correction - baseline
    if own_token != "excluded":
        factor[:, 0] = correction[:, 0] if own_token == "weighted" else 1.0
    per_token = -(factor * logp.gather(1, candidates)).mean(-1)  # [N]
    clipped = log_ratio.gather(1, candidates) > math.log(clip)
    return IntroLoss((weights * per_token).sum(), correction, clipped)
