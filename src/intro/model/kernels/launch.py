"""The functions of `model/softmax.py` as Triton kernels, with as few reads and writes of the logits as possible.

Experimental and off by default (`select`): no GPU has run them yet, and the tests run them in Triton's interpreter
(TRITON_INTERPRET=1). They take contiguous fp32 rows. Triton is imported at the first use.
"""

from __future__ import annotations

import math
import os
from functools import cache
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor

BLOCK = 4096  # columns that a program works on at a time: 16 for each thread of 8 warps
DRAW_BLOCK = 2048  # columns that `draw` adds up to one block


_selected = False


def select(kernels: Literal["torch", "triton"]) -> None:
    """Choose the functions that losses use in this process: `hardware.kernels` of the config. The default is torch."""
    global _selected
    _selected = kernels == "triton"


def available(logits: Tensor) -> bool:
    """Whether Triton is selected and takes such rows: contiguous fp32 on a GPU, or on a CPU in its interpreter."""
    has_device = logits.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    supported = has_device and logits.dtype == torch.float32 and logits.is_contiguous()
    return _selected and supported and _triton() is not None


@cache
def _triton() -> ModuleType | None:
    try:
        from intro.model.kernels import triton_kernels
    except ImportError:
        return None
    return triton_kernels


def softmax_(logits: Tensor, columns: Tensor) -> Tensor:
    """Turn logits [r, V] into probabilities in place; returns the log-probabilities [r, m] at `columns` [r, m].

    They are computed from the logits, so they are finite even where a probability underflows to zero.
    """
    at_columns = logits.gather(1, columns)
    lse = logits.new_empty(len(logits))
    _launch("softmax_rows", (len(logits),), logits, lse, logits.shape[1], BLOCK=_block(logits, BLOCK))
    return at_columns - lse[:, None]


def draw(p: Tensor, u: Tensor) -> Tensor:
    """The column [r, k] at which each u in [0, 1) [r, k] falls into the cumulative sums of p [r, V]: exact sampling.

    In two levels and in fp64, like softmax.draw. A column of probability zero is never returned.
    """
    block = _block(p, DRAW_BLOCK)
    blocks = math.ceil(p.shape[1] / block)
    sums = p.new_empty(len(p), blocks, dtype=torch.float64)
    _launch("block_sums", sums.shape, p, sums, p.shape[1], BLOCK=block)
    columns = torch.empty(u.shape, dtype=torch.long, device=p.device)
    more = {"BLOCK": block, "BLOCKS": _block(sums, blocks)}
    _launch("draw_columns", u.shape, p, sums, u.double().contiguous(), columns, p.shape[1], blocks, **more)
    return columns


def gradient_(p: Tensor, mass: Tensor, columns: Tensor, values: Tensor, dtype: torch.dtype) -> Tensor:
    """mass[r] p[r, v] + sum_i values[r, i] 1[v = columns[r, i]], the gradient of values . log p by the logits.

    p [r, V] (overwritten if `dtype` is that of p), mass [r], columns and values [r, k]; columns may repeat. In `dtype`.
    """
    out = p if dtype == p.dtype else torch.empty_like(p, dtype=dtype)
    block = _block(p, BLOCK)
    grid = (len(p), math.ceil(p.shape[1] / block))
    small = (mass.contiguous(), columns.contiguous(), values.to(p.dtype).contiguous())
    _launch("gradient_rows", grid, p, *small, out, p.shape[1], columns.shape[1], BLOCK=block)
    return out


def clipped_cross_entropy_(logits: Tensor, posterior_logits: Tensor, clip: float) -> tuple[Tensor, Tensor, Tensor]:
    """The sum over the vocabulary: loss -sum_v m_v log p_v [r], mass sum_v m_v [r], and whether the clip acted [r].

    logits and posterior_logits [r, V] are those of p and p'; m_v = min(p'_v, clip p_v) is held fixed. Afterwards
    `logits` holds the gradient mass p - m.
    """
    loss, mass = logits.new_empty(len(logits)), logits.new_empty(len(logits))
    clipped = logits.new_empty(len(logits), dtype=torch.int32)
    sizes = logits.shape[1], math.log(clip)
    rows = logits, posterior_logits, loss, mass, clipped
    _launch("clipped_cross_entropy_rows", (len(logits),), *rows, *sizes, BLOCK=_block(logits, BLOCK))
    return loss, mass, clipped > 0


def _block(rows: Tensor, most: int) -> int:
    """The smallest power of two that holds min(V, most) columns of [r, V]; at least 128, so that no thread idles."""
    return max(128, 1 << (min(rows.shape[1], most) - 1).bit_length())


def _launch(kernel: str, grid: tuple[int, ...], first: Tensor, *arguments: Any, BLOCK: int, **constants: int) -> None:
    if 0 in grid:
        return
    with torch.cuda.device_of(first):
        run = getattr(_triton(), kernel)[tuple(grid)]
        run(first, *arguments, BLOCK=BLOCK, **constants, num_warps=max(1, BLOCK // 512))
