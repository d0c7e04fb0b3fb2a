"""Triton kernels behind `launch.py`. Each program owns a row or a block of one: no atomics, so sums are deterministic.

The compiled kernels are experimental: built, but run by no GPU here; the tests run them in Triton's interpreter.
Rows are contiguous [r, width], of fp32 unless said; r x width may exceed 2^31, so row offsets are of 64 bits.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def softmax_rows(logits, lse, width, BLOCK: tl.constexpr):
    """Logits to probabilities, in place, and the log-sum-exp [r] of the logits. Grid (r,)."""
    row = tl.program_id(0).to(tl.int64)
    here = logits + row * width
    total = _log_sum_exp(here, width, BLOCK)
    for start in range(0, width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(here + at, mask=at < width, other=float("-inf"))
        tl.store(here + at, tl.exp(x - total), mask=at < width)
    tl.store(lse + row, total)


@triton.jit
def _log_sum_exp(here, width, BLOCK: tl.constexpr):
    """Log-sum-exp of one row in one pass: each lane keeps a maximum and a sum, reduced over lanes once, at the end."""
    top = tl.full([BLOCK], -3.0e38, tl.float32)  # finite: -inf minus -inf is not a number
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(here + at, mask=at < width, other=float("-inf"))
        higher = tl.maximum(top, x)
        total = total * tl.exp(top - higher) + tl.exp(x - higher)
        top = higher
    highest = tl.max(top, axis=0)
    return highest + tl.log(tl.sum(total * tl.exp(top - highest), axis=0))


@triton.jit
def block_sums(p, sums, width, BLOCK: tl.constexpr):
    """sums [r, blocks], fp64, of each BLOCK columns of p. Grid (r, blocks)."""
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(p + row * width + at, mask=at < width, other=0.0)
    tl.store(sums + row * tl.num_programs(1) + block, tl.sum(x.to(tl.float64), axis=0))


@triton.jit
def draw_columns(p, sums, u, columns, width, blocks, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """The column [r, k] at which each u [r, k], fp64, falls: first its block by `sums`, then within it. Grid (r, k)."""
    row = tl.program_id(0).to(tl.int64)
    draw = row * tl.num_programs(1) + tl.program_id(1)
    which = tl.arange(0, BLOCKS)
    weights = tl.load(sums + row * blocks + which, mask=which < blocks, other=0.0)
    block, target = _pick(weights, tl.load(u + draw) * tl.sum(weights, axis=0), BLOCKS)
    at = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(p + row * width + at, mask=at < width, other=0.0)
    column, _ = _pick(x.to(tl.float64), target, BLOCK)
    tl.store(columns + draw, (block * BLOCK + column).to(tl.int64))


@triton.jit
def _pick(weights, target, SIZE: tl.constexpr):
    """The index of the first of `weights` at which their cumulative sum exceeds `target`, and the remainder inside it.

    Only positive weights are picked: the last of them if, by rounding, `target` exceeds the whole sum.
    """
    index = tl.arange(0, SIZE)
    ends = tl.cumsum(weights, axis=0)
    positive = weights > 0
    first = tl.min(tl.where(positive & (ends > target), index, SIZE), axis=0)
    last = tl.max(tl.where(positive, index, 0), axis=0)
    picked = tl.minimum(first, last)
    return picked, target - tl.sum(tl.where(index == picked, ends - weights, 0.0), axis=0)


@triton.jit
def gradient_rows(p, mass, columns, values, out, width, k, BLOCK: tl.constexpr):
    """out = mass[r] p[r, v] + sum_i values[r, i] 1[v = columns[r, i]]; out may be p. Grid (r, blocks)."""
    row = tl.program_id(0).to(tl.int64)
    start = tl.program_id(1) * BLOCK
    at = start + tl.arange(0, BLOCK)
    total = tl.load(mass + row) * tl.load(p + row * width + at, mask=at < width, other=0.0)
    for i in range(k):
        column = tl.load(columns + row * k + i)
        if (column >= start) & (column < start + BLOCK):
            total += tl.where(at == column, tl.load(values + row * k + i), 0.0)
    tl.store(out + row * width + at, total.to(out.dtype.element_ty), mask=at < width)


@triton.jit
def clipped_cross_entropy_rows(logits, posterior_logits, loss, mass, clipped, width, log_clip, BLOCK: tl.constexpr):
    """-sum_v m_v log p_v, sum_v m_v and clipped (int32), all [r]; logits become the gradient mass p - m. Grid (r,).

    m = min(p', c p) is taken in logarithms, in an order in which a NaN of either argument reaches the loss.
    """
    row = tl.program_id(0).to(tl.int64)
    here, there = logits + row * width, posterior_logits + row * width
    lse_p, lse_posterior = _log_sum_exp(here, width, BLOCK), _log_sum_exp(there, width, BLOCK)
    m_sum, entropy = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    over = tl.zeros([BLOCK], tl.int32)
    for start in range(0, width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logp = tl.load(here + at, mask=at < width, other=float("-inf")) - lse_p
        log_posterior = tl.load(there + at, mask=at < width, other=float("-inf")) - lse_posterior
        above = log_posterior > logp + log_clip
        m = tl.exp(tl.where(above, logp + log_clip, log_posterior))
        m_sum += m
        entropy += tl.where(m == 0, 0.0, m * logp)  # 0 log 0, also beyond the row's end
        over = tl.maximum(over, above.to(tl.int32))
    row_mass = tl.sum(m_sum, axis=0)
    tl.store(mass + row, row_mass)
    tl.store(loss + row, -tl.sum(entropy, axis=0))
    tl.store(clipped + row, tl.max(over, axis=0))
    for start in range(0, width, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logp = tl.load(here + at, mask=at < width, other=float("-inf")) - lse_p
        log_posterior = tl.load(there + at, mask=at < width, other=float("-inf")) - lse_posterior
        m = tl.exp(tl.where(log_posterior > logp + log_clip, logp + log_clip, log_posterior))
        tl.store(here + at, row_mass * tl.exp(logp) - m, mask=at < width)
