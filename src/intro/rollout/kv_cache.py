"""Keys and values of what has been read and generated so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from intro.rollout.decoder import Shape


class Cache:
    """Keys and values of R rows: per layer a tensor [R, kv heads, T, head dim] each.

    T is whole blocks, and grows by half at least where the end is not known beforehand. Layers are tensors of their
    own, so that growing holds one of them twice, not the whole cache.
    """

    BLOCK = 32

    def __init__(self, shape: Shape, rows: int, length: int, like: Tensor) -> None:
        size = (rows, shape.kv_heads, self._whole_blocks(length), shape.head_dim)
        # zeros, not empty: masked positions are multiplied by zero weights, and 0 * nan is nan
        self.keys = [like.new_zeros(size) for _ in range(shape.layers)]
        self.values = [like.new_zeros(size) for _ in range(shape.layers)]
        self.heads = torch.arange(rows * shape.kv_heads, device=like.device).view(rows, shape.kv_heads)

    @classmethod
    def _whole_blocks(cls, length: int) -> int:
        return -(-length // cls.BLOCK) * cls.BLOCK

    @property
    def length(self) -> int:
        """T, the positions that there is room for."""
        return self.keys[0].shape[2]

    def reserve(self, length: int) -> None:
        """Make room for positions below `length`."""
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
        """Where `put` stores position at[b] of the first B rows, at [B]: the same in every layer."""
        return (self.heads[: len(at)] * self.length + at[:, None]).flatten()

    def put(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store keys and values [B, kv heads, head dim], one position of each of the first B rows."""
        for part, new in ((self.keys[layer], keys), (self.values[layer], values)):
            part.view(-1, part.shape[-1]).index_copy_(0, places, new.reshape(-1, part.shape[-1]))

    def move(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copy the first `length` positions of rows [M] to other rows [M]."""
        for part in (*self.keys, *self.values):
            part[target, :, :length] = part[source, :, :length]
