"""Losses over a large vocabulary without [N, V] tensors: the rows are processed in chunks.

A loss that is a sum over positions needs the logits of a position only to compute that position's summand and gradient.
So the forward pass computes both, chunk by chunk, and keeps dL/dhidden [N, d] and dL/dhead [V, d]; the backward pass
multiplies them by the incoming gradient. Memory does not grow with N x V.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from intro.types import Loss

CHUNK_BYTES = 512 << 20  # size of one fp32 tensor [rows, V]; a loss holds a few of them at a time

RowsLoss = Callable[[slice, Tensor, Tensor], Loss]


def rows_per_chunk(vocabulary: int) -> int:
    """The number of rows of logits in a chunk; at least one."""
    return max(1, CHUNK_BYTES // (4 * vocabulary))


def loss_by_rows(loss_of: RowsLoss, hidden: Tensor, lm_head: Tensor, rows: int | None = None) -> Loss:
    """The sum of `loss_of(rows, hidden[rows], lm_head)` over chunks; differentiable in hidden [N, d], lm_head [V, d].

    rows: rows per chunk; None: `rows_per_chunk`. Metrics are concatenated over chunks. A loss that fits into one chunk
    is differentiated by autograd as usual.
    """
    rows = rows_per_chunk(len(lm_head)) if rows is None else rows
    if len(hidden) <= rows:
        return loss_of(slice(0, len(hidden)), hidden, lm_head)
    metrics: list[dict[str, Tensor]] = []
    loss = _InChunks.apply(hidden, lm_head, loss_of, rows, metrics)
    return Loss(loss, {name: torch.cat([part[name] for part in metrics]) for name in metrics[0]})


def map_rows(function: Callable[[slice, Tensor], Tensor], hidden: Tensor, lm_head: Tensor) -> Tensor:
    """`function(rows, hidden[rows])` [rows] of every chunk, concatenated [N]; for passes without gradient."""
    size = rows_per_chunk(len(lm_head))
    starts = range(0, len(hidden), size)
    return torch.cat([function(slice(s, s + size), hidden[s : s + size]) for s in starts])


class _InChunks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, lm_head: Tensor, loss_of: RowsLoss, rows: int, metrics: list) -> Tensor:
        total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
        by_hidden = torch.empty_like(hidden)
        # summed in fp32: in bfloat16 the result would depend on the number of chunks
        by_head = torch.zeros_like(lm_head, dtype=torch.promote_types(lm_head.dtype, torch.float32))
        head = lm_head.detach().requires_grad_()
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            with torch.enable_grad():
                h = hidden[part].detach().requires_grad_()
                result = loss_of(part, h, head)
                by_hidden[part], by_head_part = torch.autograd.grad(result.loss, (h, head))
            by_head += by_head_part
            total += result.loss.detach()
            metrics.append(result.metrics)
        ctx.save_for_backward(by_hidden, by_head.to(lm_head.dtype))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_hidden, by_head = ctx.saved_tensors
        return gradient * by_hidden, gradient * by_head, None, None, None
