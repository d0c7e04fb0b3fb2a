"""The KV cache of the native engine."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from intro.rollout.decoder_config import DecoderConfig


class KVCache:
    """Keys and values of R rows: per layer a tensor [R, kv heads, T, head dim] each.

    T is a multiple of BLOCK. `reserve` grows it by at least a half. Each layer has its own tensors, so growing copies
    one layer at a time and never holds the whole cache twice.
    """

    BLOCK = 32

    def __init__(self, config: DecoderConfig, rows: int, length: int, like: Tensor) -> None:
        size = (rows, config.kv_heads, self._whole_blocks(length), config.head_dim)
        # zeros, not empty: masked positions are multiplied by zero weights, and 0 * nan is nan
        self.keys = [like.new_zeros(size) for _ in range(config.layers)]
        self.values = [like.new_zeros(size) for _ in range(config.layers)]
        self.heads = torch.arange(rows * config.kv_heads, device=like.device).view(rows, config.kv_heads)

    @classmethod
    def _whole_blocks(cls, length: int) -> int:
        return -(-length // cls.BLOCK) * cls.BLOCK

    @property
    def length(self) -> int:
        """T, the number of positions per row."""
        return self.keys[0].shape[2]

    def reserve(self, length: int) -> None:
        """Grow to at least `length` positions."""
        if length > self.length:
            more = self._whole_blocks(max(length, self.length * 3 // 2)) - self.length
            for parts in (self.keys, self.values):
                for i, part in enumerate(parts):
                    parts[i] = F.pad(part, (0, 0, 0, more))

    def fill(self, layer: int, rows: slice, keys: Tensor, values: Tensor) -> None:
        """Store keys and values [rows, kv heads, L, head dim] at the first L positions."""
        length = keys.shape[2]
        self.keys[layer][rows, :, :length], self.values[layer][rows, :, :length] = keys, values

    def places(self, at: Tensor) -> Tensor:
        """The flat indices, equal for all layers, where `put` stores position at[b] of row b; at [B]."""
        return (self.heads[: len(at)] * self.length + at[:, None]).flatten()

    def put(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store keys and values [B, kv heads, head dim], one position of each of the first B rows."""
        for part, new in ((self.keys[layer], keys), (self.values[layer], values)):
            part.view(-1, part.shape[-1]).index_copy_(0, places, new.reshape(-1, part.shape[-1]))

    def move(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copy the first `length` positions of rows [M] to other rows [M]."""
        for part in (*self.keys, *self.values):
            part[target, :, :length] = part[source, :, :length]
