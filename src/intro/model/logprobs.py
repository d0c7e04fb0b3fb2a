"""Log-probabilities of tokens from hidden states, differentiable, with one buffer [N, V].

A loss needs the logits only for log-probabilities at some tokens, or for min(p', c p). So one buffer holds the logits
[N, V], then the probabilities, and in the backward pass the gradient of the loss with respect to the logits.
Logits and log-sum-exps are fp32 or wider, also for weights in bfloat16: InTRO multiplies an error of log p by w.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

from intro.model import softmax
from intro.model.kernels import launch as kernels
from intro.model.softmax import logits_of


def token_logprobs(hidden: Tensor, lm_head: Tensor, tokens: Tensor) -> Tensor:
    """log pi(z_t | prefix) [N], differentiable in `hidden` [N, d] and `lm_head` [V, d]; tokens [N]."""
    return logprobs_at(hidden, lm_head, tokens[:, None]).squeeze(1)


def logprobs_at(hidden: Tensor, lm_head: Tensor, columns: Tensor) -> Tensor:
    """log pi(v | prefix) [N, k] at some tokens [N, k], differentiable in `hidden` [N, d] and `lm_head` [V, d]."""
    return _LogProbs.apply(hidden, lm_head, columns, None)[0]


def drawn_logprobs(
    hidden: Tensor, lm_head: Tensor, first: Tensor, draw: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """log pi(z | prefix) [N, n] at tokens that are drawn from the policy itself, and these tokens z [N, n].

    `draw` gets the policy's probabilities [N, V] and returns z, whose first columns must be `first` [N, m]. The
    log-probabilities are differentiable in `hidden` [N, d] and `lm_head` [V, d].
    """
    return _LogProbs.apply(hidden, lm_head, first, draw)


def sample(p: Tensor, count: int, generator: Generator | None) -> Tensor:
    """Columns [N, count] drawn i.i.d. with replacement from the rows of p [N, V]."""
    u = torch.rand(len(p), count, generator=generator, dtype=torch.float64, device=p.device)
    return _rows(p).draw(p, u)


def clipped_cross_entropy(
    hidden: Tensor, lm_head: Tensor, posterior_hidden: Tensor, posterior_head: Tensor, clip: float
) -> tuple[Tensor, Tensor, Tensor]:
    """-sum_v m_v log p_v [N] with m = min(p', clip p) held fixed, sum_v m_v [N], and whether the clip acted [N] bool.

    p is the policy's distribution and p' the posterior's; heads [V, d]. The first result is differentiable in `hidden`
    [N, d] and `lm_head`.
    """
    return _ClippedCrossEntropy.apply(hidden, lm_head, posterior_hidden, posterior_head, clip)


def log_distribution(hidden: Tensor, lm_head: Tensor) -> Tensor:
    """log pi(. | prefix) [N, V] of hidden states [N, d] under the head [V, d]; large, so for few rows only."""
    return logits_of(hidden, lm_head).log_softmax(-1)


def _rows(logits: Tensor) -> ModuleType:
    """The module with the functions for rows of logits: Triton kernels where they are available, else plain torch."""
    return kernels if kernels.available(logits) else softmax


class _LogProbs(torch.autograd.Function):
    """log p at the columns `first` [N, m], or at the columns [N, k] that `draw` returns, which begin with `first`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, lm_head: Tensor, first: Tensor, draw: Callable[[Tensor], Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        p = logits_of(hidden, lm_head)
        logp = _rows(p).softmax_(p, first)
        columns = first if draw is None else draw(p)
        if columns.shape != first.shape:
            logp = torch.cat([logp, p.gather(1, columns[:, first.shape[1] :]).log()], dim=1)
        ctx.save_for_backward(hidden, lm_head, columns)
        ctx.p = p
        ctx.mark_non_differentiable(columns)
        return logp, columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_logp: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, lm_head, columns = ctx.saved_tensors
        p, ctx.p = ctx.p, None
        if p is None:  # a second backward pass through the same graph: the first one overwrote the buffer
            p = logits_of(hidden, lm_head)
            _rows(p).softmax_(p, columns)
        by_logits = _rows(p).gradient_(p, -by_logp.sum(-1), columns, by_logp, lm_head.dtype)
        return *_through_head(by_logits, hidden, lm_head, ctx.needs_input_grad), None, None


class _ClippedCrossEntropy(torch.autograd.Function):
    """See `clipped_cross_entropy`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, lm_head: Tensor, posterior_hidden: Tensor, posterior_head: Tensor, clip: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits, posterior_logits = logits_of(hidden, lm_head), logits_of(posterior_hidden, posterior_head)
        loss, mass, clipped = _rows(logits).clipped_cross_entropy_(logits, posterior_logits, clip)
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
    """The gradients by `hidden` [N, d] and `lm_head` [V, d], from the gradient by the logits [N, V]."""
    by_hidden = by_logits @ lm_head if wanted[0] else None
    by_head = by_logits.t() @ hidden if wanted[1] else None
    return by_hidden, by_head
