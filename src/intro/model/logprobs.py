"""From hidden states to log-probabilities and to the loss of Eq. 7.

A loss sees a position's logits only through log-probabilities at some tokens, or through min(p', c p). So the logits
[N, V] are made, turned into probabilities in place, and in the backward pass into their own gradient: one buffer.
Logits and log-sum-exps are at least fp32, also of weights in bfloat16: noise in log p would be multiplied by w.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

from intro.model import softmax
from intro.model.chunked_loss import loss_by_rows, map_rows
from intro.model.kernels import launch as kernels
from intro.model.softmax import logits_of
from intro.types import Loss

OwnToken = Literal["weighted", "unit", "excluded"]


@dataclass(frozen=True, slots=True)
class IntroLoss:
    """`.loss` is differentiable; the rest is detached, for the log."""

    loss: Tensor  # scalar
    correction: Tensor  # [N, n] the clipped w_t^i; [N, 1] their expectation when n is None
    clipped: Tensor  # [N, n] bool; [N, 1] whether any of the vocabulary was clipped when n is None


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
    Rows go by chunks (model/chunked_loss.py), so memory does not grow with N x V.
    Raises ValueError when n < 1 or clip <= 0.
    """
    if n is not None and n < 1:
        raise ValueError(f"n, the number of candidates, must be at least 1 or None, found {n}")
    if clip <= 0:
        raise ValueError(f"clip must be positive, found {clip}")
    told_head = lm_head if posterior_head is None else posterior_head

    def sampled(rows: slice, hidden: Tensor, head: Tensor) -> Loss:
        own = tokens[rows, None][:, : own_token != "excluded"]  # [N, 1] or [N, 0]
        logp, candidates = _LogProbs.apply(
            hidden, head, own, lambda p: draw_candidates(p, own, n, generator)
        )  # [N, n] log pi(z_t^i | x, z_<t)
        with torch.no_grad():
            log_ratio = logprobs_at(posterior_hidden[rows], told_head, candidates) - logp  # [N, n] log w, not clipped
            correction = log_ratio.clamp(max=math.log(clip)).exp()  # [N, n] w_t^i
            factor = correction - baseline
            if own_token != "excluded":
                factor[:, 0] = correction[:, 0] if own_token == "weighted" else 1.0
        per_token = -(factor * logp).mean(-1)  # [N]
        clipped = log_ratio > math.log(clip)
        return Loss((weights[rows] * per_token).sum(), {"correction": correction, "clipped": clipped})

    def exact(rows: slice, hidden: Tensor, head: Tensor) -> Loss:
        # the mean over draws becomes a sum over the vocabulary, -sum_v min(p'_v, c p_v) log p_v
        told = posterior_hidden[rows].detach(), told_head.detach()
        per_token, mass, clipped = _Exact.apply(hidden, head, *told, clip)
        return Loss((weights[rows] * per_token).sum(), {"correction": mass[:, None], "clipped": clipped[:, None]})

    result = loss_by_rows(exact if n is None else sampled, policy_hidden, lm_head)
    return IntroLoss(result.loss, result.metrics["correction"], result.metrics["clipped"])


def draw_candidates(p: Tensor, own: Tensor, n: int, generator: Generator | None) -> Tensor:
    """Candidates z_t^i [N, n]: the rationale's own token [N, 1] first (or none, [N, 0]), the rest i.i.d. from p [N, V].

    Draws are with replacement: duplicates are correct samples, removing them would bias Eq. 7.
    """
    if (drawn := n - own.shape[1]) == 0:
        return own
    u = torch.rand(len(p), drawn, generator=generator, dtype=torch.float64, device=p.device)
    return torch.cat([own, _rows(p).draw(p, u)], dim=1)


# ---------------------------------------------------------------- log-probabilities


def token_logprobs(hidden: Tensor, lm_head: Tensor, tokens: Tensor) -> Tensor:
    """log pi(z_t | prefix) [N], differentiable in `hidden` [N, d] and `lm_head` [V, d]; tokens [N]."""
    return logprobs_at(hidden, lm_head, tokens[:, None]).squeeze(1)


def logprobs_at(hidden: Tensor, lm_head: Tensor, columns: Tensor) -> Tensor:
    """log pi(v | prefix) [N, k] at some tokens [N, k], differentiable in `hidden` [N, d] and `lm_head` [V, d]."""
    return _LogProbs.apply(hidden, lm_head, columns, None)[0]


@torch.no_grad()
def token_entropies(hidden: Tensor, lm_head: Tensor) -> Tensor:
    """Entropy of the next-token distribution [N], in nats, without gradient."""

    def entropy(_: slice, hidden: Tensor) -> Tensor:
        logp = log_distribution(hidden, lm_head)
        return -(logp.exp() * logp).sum(-1)

    return map_rows(entropy, hidden, lm_head)


def log_distribution(hidden: Tensor, lm_head: Tensor) -> Tensor:
    """log pi(. | prefix) [N, V] of hidden states [N, d] under the head [V, d]: all of it, so for few rows."""
    return logits_of(hidden, lm_head).log_softmax(-1)


def _rows(logits: Tensor) -> ModuleType:
    """Who works on rows of logits: a GPU's kernels where there are any, else plain torch."""
    return kernels if kernels.available(logits) else softmax


class _LogProbs(torch.autograd.Function):
    """log p at columns [N, k]: at given ones [N, m], and at what `candidates` makes of p [N, V], which begin so."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, lm_head: Tensor, given: Tensor, candidates: Callable[[Tensor], Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        p = logits_of(hidden, lm_head)
        logp = _rows(p).softmax_(p, given)
        columns = given if candidates is None else candidates(p)
        if columns.shape != given.shape:
            logp = torch.cat([logp, p.gather(1, columns[:, given.shape[1] :]).log()], dim=1)
        ctx.save_for_backward(hidden, lm_head, columns)
        ctx.p = p
        ctx.mark_non_differentiable(columns)
        return logp, columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_logp: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, lm_head, columns = ctx.saved_tensors
        p, ctx.p = ctx.p, None
        if p is None:  # a second backward pass through the same graph: the first one has used the buffer up
            p = logits_of(hidden, lm_head)
            _rows(p).softmax_(p, columns)
        by_logits = _rows(p).gradient_(p, -by_logp.sum(-1), columns, by_logp, lm_head.dtype)
        return *_through_head(by_logits, hidden, lm_head, ctx.needs_input_grad), None, None


class _Exact(torch.autograd.Function):
    """-sum_v m_v log p_v [N] with m = min(p', c p) held fixed, the sum of m [N], and whether the clip acted [N]."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, lm_head: Tensor, posterior_hidden: Tensor, posterior_head: Tensor, clip: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits, told = logits_of(hidden, lm_head), logits_of(posterior_hidden, posterior_head)
        loss, mass, clipped = _rows(logits).exact_(logits, told, clip)
        ctx.save_for_backward(hidden, lm_head)
        ctx.by_logits = logits
        ctx.mark_non_differentiable(mass, clipped)
        return loss, mass, clipped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        hidden, lm_head = ctx.saved_tensors
        # not in place: a second backward pass through the same graph needs the buffer again
        by_logits = (ctx.by_logits * by_loss[:, None]).to(lm_head.dtype)
        return *_through_head(by_logits, hidden, lm_head, ctx.needs_input_grad), None, None, None


def _through_head(by_logits: Tensor, hidden: Tensor, lm_head: Tensor, wanted: tuple[bool, ...]) -> tuple[Any, Any]:
    """The gradients [N, d] and [V, d] of what made the logits."""
    by_hidden = by_logits @ lm_head if wanted[0] else None
    by_head = by_logits.t() @ hidden if wanted[1] else None
    return by_hidden, by_head
