"""Packing: sequences are concatenated into one row, and each token attends to its own sequence only.

All layers but attention treat tokens independently, so they run on the packed row. Attention runs on padded rows
[R, H, L, D] with the causal kernels, which need no mask; no token attends to padding. The alternative, masking the
packed row by its position ids as transformers does, computes the scores of all pairs of tokens in the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from intro.types import IntroError

NAME = "packed"


@dataclass(frozen=True, slots=True)
class RowMap:
    """Copies rows of a tensor A [A, ...] into a tensor B [B, ...]. The gradient is a lookup too, not a scatter."""

    index: Tensor  # [B] in 0..A-1, the row of A that each row of B copies
    back: Tensor  # [A] in 0..B-1, the row of B whose gradient a row of A gets, the only one even if several copy it
    absent: Tensor | None  # [A] bool, the rows of A that no row of B copies; None when there are none

    def take(self, x: Tensor) -> Tensor:
        """x[index], differentiable."""
        return _Take.apply(x, self)


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: RowMap) -> Tensor:
        ctx.rows = rows
        return x.index_select(0, rows.index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # a lookup suffices, since only padding copies a row twice
        by_x = gradient.index_select(0, ctx.rows.back)
        if ctx.rows.absent is not None:
            by_x.masked_fill_(ctx.rows.absent.view(-1, *[1] * (by_x.dim() - 1)), 0.0)
        return by_x, None


@dataclass(frozen=True, slots=True)
class Packing:
    """R sequences with T tokens in total, the longest with L tokens."""

    positions: Tensor  # [T] position of each token in its own sequence
    spread: RowMap  # T tokens to R x L padded positions; padding copies the sequence's last token
    gather: RowMap  # R x L padded positions to T tokens
    rows: int  # R

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Packing:
        sizes = torch.tensor(lengths)
        longest, starts = int(sizes.max()), sizes.cumsum(0) - sizes
        place = torch.arange(longest).expand(len(lengths), -1)  # [R, L]
        padding = place >= sizes[:, None]
        tokens = (starts[:, None] + place.minimum(sizes[:, None] - 1)).flatten().to(device)
        places = (~padding).flatten().nonzero().squeeze(1).to(device)
        absent = padding.flatten().to(device) if bool(padding.any()) else None
        positions = place[~padding].to(device)
        return cls(positions, RowMap(tokens, places, None), RowMap(places, tokens, absent), len(lengths))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
        """Causal attention within each sequence; q [1, H, T, D], k and v [1, KV heads, T, D] to [1, T, H, D]."""
        q, k, v = (
            self.spread.take(x[0].transpose(0, 1)).unflatten(0, (self.rows, -1)).transpose(1, 2) for x in (q, k, v)
        )
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
        return self.gather.take(out.transpose(1, 2).flatten(0, 1))[None]


def run_packed(model: nn.Module, sequences: Sequence[Sequence[int]]) -> Tensor:
    """The hidden states [T, d] of the last layer for concatenated sequences of token ids.

    `model` is a causal LM of transformers. Its attention function is set to `packed_attention`, which equals "sdpa" in
    every other use of the model.
    """
    _prepare(model)
    device = next(model.parameters()).device
    packing = Packing.of([len(s) for s in sequences], device)
    ids = torch.tensor([token for sequence in sequences for token in sequence], device=device)
    unused = ids.new_zeros(1, 1, 1, 1, dtype=torch.bool)  # transformers makes no mask if it gets one of rank 4
    options = {"attention_mask": unused, "use_cache": False, "packing": packing}
    return model.model(input_ids=ids[None], position_ids=packing.positions[None], **options).last_hidden_state[0]


def packed_attention(
    module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: Any, packing: Packing | None = None, **options: Any
) -> tuple[Tensor, None]:
    """An attention function as transformers calls it, which equals "sdpa" without a packing."""
    if packing is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, q, k, v, mask, **options)
    if options.get("sliding_window") is not None:
        raise IntroError("packed training: expected full attention, found a sliding window; choose another model")
    return packing.attend(q, k, v, options.get("scaling")), None


def _prepare(model: nn.Module) -> None:
    if model.config._attn_implementation == NAME:
        return
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
