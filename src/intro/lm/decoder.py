"""A Qwen2 / Qwen3 decoder over tensors named as Hugging Face names them: the inference half of the model.

It shares the live model's parameters (no copy), so rollouts always see the current policy; or it reads a saved
folder without importing transformers, which is half of a short process's time. `tests/lm/test_engine.py` holds it
to the logits and greedy tokens of `AutoModelForCausalLM`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from intro.types import IntroError

FAMILIES = ("qwen2", "qwen3")


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that a decoder needs, from a Hugging Face config.json."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    epsilon: float  # of RMSNorm
    rope_theta: float
    context: int

    @classmethod
    def of(cls, config: Mapping[str, Any], where: str) -> Shape:
        if config.get("model_type") not in FAMILIES:
            found = config.get("model_type")
            raise IntroError(f"{where}: expected a model of type {' or '.join(FAMILIES)}, found {found!r}")
        if config.get("use_sliding_window"):
            raise IntroError(f"{where}: use_sliding_window is on; this decoder attends to the whole context only")
        heads = config["num_attention_heads"]
        rope = config.get("rope_parameters") or config
        if rope.get("rope_type", "default") != "default":
            raise IntroError(f"{where}: rope_type {rope['rope_type']!r} is not supported by this decoder, only default")
        return cls(
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config["num_key_value_heads"],
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            epsilon=config["rms_norm_eps"],
            rope_theta=rope["rope_theta"],
            context=config["max_position_embeddings"],
        )


class Cache:
    """Keys and values of B rows: two tensors [layers, B, kv heads, T, head dim] that grow by blocks of positions.

    Room for the longest response from the start would be copied with every row that ends.
    """

    BLOCK = 32

    def __init__(self, shape: Shape, rows: int, length: int, like: Tensor) -> None:
        size = (shape.layers, rows, shape.kv_heads, length, shape.head_dim)
        # zeros, not empty: masked positions are multiplied by zero weights, and 0 * nan is nan
        self.keys, self.values = like.new_zeros(size), like.new_zeros(size)

    def reserve(self, length: int) -> None:
        """Make room for positions below `length`."""
        if (short := length - self.keys.shape[3]) > 0:
            room = -(-short // self.BLOCK) * self.BLOCK
            self.keys, self.values = (F.pad(part, (0, 0, 0, room)) for part in (self.keys, self.values))

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these: finished rows cost nothing."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]


class Decoder:
    """One forward for prefill and decode; a row's cache index is its absolute position, so no left padding."""

    def __init__(self, shape: Shape, weights: Mapping[str, Tensor]) -> None:
        self.shape = shape
        self.weights = weights
        self.embedding = weights["model.embed_tokens.weight"]
        self.lm_head = weights.get("lm_head.weight", self.embedding)  # tied when absent
        self.layers = [self._layer(i) for i in range(shape.layers)]
        self._rope_length = 0

    @classmethod
    def from_model(cls, model: torch.nn.Module) -> Decoder:
        """Share the parameters of a transformers model."""
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        return cls(Shape.of(model.config.to_dict(), type(model).__name__), weights)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Decoder:
        """Read a saved Hugging Face folder. Raises IntroError when it is not one."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        config, files = folder / "config.json", sorted(folder.glob("*.safetensors"))
        if not config.is_file() or not files:
            missing = "config.json" if not config.is_file() else "*.safetensors"
            raise IntroError(
                f"{folder}: expected a Hugging Face model folder, found no {missing}; train or download it"
            )
        try:
            shape = Shape.of(json.loads(config.read_text()), str(folder))
            weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
            return cls(shape, weights)
        except (SafetensorError, ValueError, KeyError) as error:
            raise IntroError(f"{folder}: the model folder is damaged ({error}); delete it and make it again") from None

    def _layer(self, i: int) -> dict[str, Tensor | None]:
        prefix = f"model.layers.{i}."
        if f"{prefix}input_layernorm.weight" not in self.weights:
            raise KeyError(f"layer {i} of {self.shape.layers} has no weights")
        return {name.removeprefix(prefix): tensor for name, tensor in self.weights.items() if name.startswith(prefix)}

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin [..., 1, head_dim] at integer positions [...]; the table grows as needed."""
        if self._rope_length <= (needed := int(positions.max())):
            self._rope_length = needed + 256
            half = torch.arange(0, self.shape.head_dim, 2, device=positions.device).float()
            frequency = self.shape.rope_theta ** (-half / self.shape.head_dim)
            angle = torch.outer(torch.arange(self._rope_length, device=positions.device).float(), frequency)
            angle = torch.cat([angle, angle], dim=-1)
            dtype = self.embedding.dtype
            self._cos, self._sin = angle.cos().to(dtype), angle.sin().to(dtype)
        return self._cos[positions].unsqueeze(-2), self._sin[positions].unsqueeze(-2)

    def _project(self, layer: dict, x: Tensor, rope: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v as [B, heads, L, head_dim] of normalised input x [B, L, d]; q and k rotated."""
        out = []
        for name, heads in (("q", self.shape.heads), ("k", self.shape.kv_heads), ("v", self.shape.kv_heads)):
            bias = layer.get(f"self_attn.{name}_proj.bias")
            y = F.linear(x, layer[f"self_attn.{name}_proj.weight"], bias)
            y = y.view(*x.shape[:2], heads, self.shape.head_dim)
            norm = layer.get(f"self_attn.{name}_norm.weight")  # Qwen3 only
            y = y if norm is None else F.rms_norm(y, norm.shape, norm, self.shape.epsilon)
            out.append((y if name == "v" else _rotate(y, *rope)).transpose(1, 2))
        return tuple(out)

    def forward(self, tokens: Tensor, cache: Cache, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Hidden states [B, L, d] of tokens [B, L] at absolute positions [B, L], whose keys and values are stored.

        mask: None for a prefill from position 0 (causal); else [B, 1, 1, T], True where the cache may be read.
        """
        rope = self._rope(positions)
        rows = torch.arange(len(tokens), device=tokens.device)
        x = F.embedding(tokens, self.embedding)
        for i, layer in enumerate(self.layers):
            h = self._norm(x, layer["input_layernorm.weight"])
            q, k, v = self._project(layer, h, rope)
            if mask is None:
                length = tokens.shape[1]
                cache.keys[i, :, :, :length], cache.values[i, :, :, :length] = k, v
                a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            else:
                at = positions[:, 0]
                cache.keys[i, rows, :, at], cache.values[i, rows, :, at] = k[:, :, 0], v[:, :, 0]
                length = mask.shape[-1]
                a = self._attend(q, cache.keys[i, :, :, :length], cache.values[i, :, :, :length], mask)
            a = a.transpose(1, 2).reshape(*tokens.shape, -1)
            x = x + F.linear(a, layer["self_attn.o_proj.weight"])
            h = self._norm(x, layer["post_attention_layernorm.weight"])
            gate, up = F.linear(h, layer["mlp.gate_proj.weight"]), F.linear(h, layer["mlp.up_proj.weight"])
            x = x + F.linear(F.silu(gate) * up, layer["mlp.down_proj.weight"])
        return self._norm(x, self.weights["model.norm.weight"])

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.shape.epsilon)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """One query per row over its cache. Queries that share a KV head go into one matmul: no repeat of k, v."""
        rows, heads, _, dim = q.shape
        shared = q.view(rows, self.shape.kv_heads, heads // self.shape.kv_heads, dim)
        scores = shared @ k.transpose(-1, -2) * dim**-0.5  # [B, kv heads, group, T]
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return (weights @ v).view(rows, heads, 1, dim)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.lm_head)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
