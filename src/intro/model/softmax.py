"""Operations of the losses on rows of logits [r, V], in plain torch.

`model/kernels/launch.py` has the same functions as Triton kernels. The logits of a chunk are the largest tensors of an
update, so functions overwrite their arguments and allocate at most two more buffers of that size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

NARROW = 64  # a row of at most this many columns is one block


def logits_of(hidden: Tensor, lm_head: Tensor) -> Tensor:
    """Logits [N, V] of hidden states [N, d] in fp32 or wider: the product of two bfloat16 numbers is exact in fp32, and
    sums are not rounded to bfloat16."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    if hidden.dtype != wide and hidden.is_cuda and not torch.is_grad_enabled():
        return torch.mm(hidden, lm_head.t(), out_dtype=wide)  # on GPUs only, and without a derivative
    return F.linear(hidden.to(wide), lm_head.to(wide))


def softmax_(logits: Tensor, columns: Tensor) -> Tensor:
    """Turn logits [r, V] into probabilities in place; returns the log-probabilities [r, m] at `columns` [r, m].

    They are computed from the logits, so they are finite even where a probability underflows to zero.
    """
    logp = logits.log_softmax(-1)
    torch.exp(logp, out=logits)
    return logp.gather(1, columns)


def draw(p: Tensor, u: Tensor) -> Tensor:
    """The column [r, k] at which each u in [0, 1) [r, k] falls into the cumulative sums of p [r, V]: exact sampling.

    A wide row is searched in two levels: its blocks are summed once, then only the selected blocks are searched.
    Cumulative sums are fp64, since fp32 would lose rare tokens. A column of probability zero is never returned.
    """
    rows, width = p.shape
    size = _block(width)
    if width <= size:
        ends = p.cumsum(-1, dtype=torch.float64)
        return _pick(p, ends, u.double() * ends[:, -1:])
    whole = width // size * size
    sums = [p[:, :whole].view(rows, -1, size).sum(-1)]
    if whole < width:
        sums.append(p[:, whole:].sum(-1, keepdim=True))
    sums = torch.cat(sums, 1).double()  # [r, blocks]
    ends = sums.cumsum(-1)
    target = u.double() * ends[:, -1:]
    block = _pick(sums, ends, target)  # [r, k]
    target = (target - (ends - sums).gather(1, block)).clamp_(min=0.0)  # the remainder inside the block
    columns = block[..., None] * size + torch.arange(size, device=p.device)  # [r, k, size]
    inside = p.gather(1, columns.clamp(max=width - 1).flatten(1)).view_as(columns).double()
    inside = inside.masked_fill_(columns >= width, 0.0)
    ends = inside.cumsum(-1)
    # a block's sum has p's precision: scaled to the exact sum, the remainder keeps every column's probability
    target = target * (ends[..., -1] / sums.gather(1, block))
    return block * size + _pick(inside.flatten(0, 1), ends.flatten(0, 1), target.view(-1, 1)).view_as(block)


def _block(width: int) -> int:
    """Columns per block of `draw`: about the square root of the width, which balances the two levels."""
    return max(NARROW, 1 << math.isqrt(max(width - 1, 1)).bit_length())


def _pick(parts: Tensor, ends: Tensor, target: Tensor) -> Tensor:
    """The first part [.., k] whose cumulative sum `ends` [.., m] exceeds the target [.., k].

    The last part with positive mass if, by rounding, no sum exceeds the target.
    """
    last = (parts > 0).mul(torch.arange(parts.shape[-1], device=parts.device)).amax(-1, keepdim=True)
    return torch.searchsorted(ends, target, right=True).minimum(last)


def gradient_(p: Tensor, mass: Tensor, columns: Tensor, values: Tensor, dtype: torch.dtype) -> Tensor:
    """mass[r] p[r, v] + sum_i values[r, i] 1[v = columns[r, i]], the gradient of values . log p by the logits.

    p [r, V] (overwritten), mass [r], columns and values [r, k]; columns may repeat. The result is in `dtype`.
    """
    return p.mul_(mass[:, None]).scatter_add_(1, columns, values.to(p.dtype)).to(dtype)


def clipped_cross_entropy_(logits: Tensor, posterior_logits: Tensor, clip: float) -> tuple[Tensor, Tensor, Tensor]:
    """The sum over the vocabulary: loss -sum_v m_v log p_v [r], mass sum_v m_v [r], and whether the clip acted [r].

    logits and posterior_logits [r, V] are those of p and p'; m_v = min(p'_v, clip p_v) is held fixed. Both are
    overwritten: `logits` holds the gradient mass p - m afterwards.
    """
    # a finite logarithm also for probability zero: 0 * -inf would be nan
    logp = logits.log_softmax(-1).clamp_(min=torch.finfo(logits.dtype).min)
    bound = torch.add(logp, math.log(clip), out=logits)
    log_posterior = posterior_logits.log_softmax(-1)
    clipped = (log_posterior > bound).any(-1)
    m = torch.minimum(log_posterior, bound, out=bound).exp_()
    mass = m.sum(-1)
    loss = -torch.mul(m, logp, out=posterior_logits).sum(-1)
    gradient = logp.exp_().mul_(mass[:, None]).sub_(m)
    logits.copy_(gradient)
    return loss, mass, clipped
