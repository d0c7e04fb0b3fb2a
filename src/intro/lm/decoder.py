"""A Qwen2, Qwen3 or Llama decoder over tensors named as Hugging Face names them: the inference half of the model.

It shares the live model's parameters (no copy), so rollouts always see the current policy; or it reads a saved
folder without importing transformers, which is half of a short process's time. It computes in the weights' own dtype
on their device. `tests/lm/test_engine.py` and `tests/lm/test_decoder.py` hold it to the logits and greedy tokens of
`AutoModelForCausalLM`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from intro.lm.snapshot import weight_files
from intro.types import IntroError

FAMILIES = ("qwen2", "qwen3", "llama")
SCALED_ROPES = ("linear", "llama3", "yarn")  # whose frequencies do not change with the length of the text


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that a decoder needs, from a Hugging Face config.json as published or as transformers 5 writes it."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    epsilon: float  # of RMSNorm
    rope_theta: float
    context: int
    frequencies: tuple[float, ...] | None = None  # [head_dim / 2] of a scaled rope; None: powers of rope_theta
    rope_scale: float = 1.0  # factor on cos and sin

    @classmethod
    def of(cls, config: Mapping[str, Any], where: str) -> Shape:
        """Raises IntroError when this decoder would compute something else than the model does."""
        if config.get("model_type") not in FAMILIES:
            found = config.get("model_type")
            raise IntroError(f"{where}: expected a model of type {' or '.join(FAMILIES)}, found {found!r}")
        # published files say use_sliding_window, those of transformers 5 name every layer's kind as well
        kinds = config.get("layer_types") or ["sliding_attention"] * bool(config.get("use_sliding_window"))
        if set(kinds) - {"full_attention"}:
            raise IntroError(f"{where}: use_sliding_window is on; this decoder attends to the whole context only")
        if (act := config.get("hidden_act", "silu")) != "silu":
            raise IntroError(f"{where}: hidden_act {act!r} is not supported by this decoder, only silu")
        heads = config["num_attention_heads"]
        # old: rope_theta at the top and rope_scaling, often null, beside it; transformers 5: both in rope_parameters
        rope = {"rope_theta": config.get("rope_theta", 10_000.0), **(config.get("rope_scaling") or {})}
        rope |= config.get("rope_parameters") or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in ("default", *SCALED_ROPES):
            known = ", ".join(("default", *SCALED_ROPES))
            raise IntroError(f"{where}: rope_type {kind!r} is not supported by this decoder, only {known}")
        head_dim = config.get("head_dim") or config["hidden_size"] // heads
        scaled = (None, 1.0) if kind == "default" else _scaled_rope({**config, "head_dim": head_dim}, kind)
        return cls(
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=head_dim,
            epsilon=config["rms_norm_eps"],
            rope_theta=rope["rope_theta"],
            context=config["max_position_embeddings"],
            frequencies=scaled[0],
            rope_scale=scaled[1],
        )

    @property
    def cached(self) -> int:
        """Numbers that the cache holds per token: keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim


def _scaled_rope(config: Mapping[str, Any], kind: str) -> tuple[tuple[float, ...], float]:
    """Inverse frequencies and the factor on cos and sin, as transformers computes them from the same config."""
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](AutoConfig.for_model(**config))
    return tuple(frequencies.tolist()), scale


class Cache:
    """Keys and values of B rows: per layer a tensor [B, kv heads, T, head dim] each, growing by blocks of positions.

    Room for the longest response from the start would be copied with every row that ends. Layers are tensors of their
    own, so that growing and dropping rows hold one layer twice, not the whole cache.
    """

    BLOCK = 32

    def __init__(self, shape: Shape, rows: int, length: int, like: Tensor) -> None:
        size = (rows, shape.kv_heads, length, shape.head_dim)
        # zeros, not empty: masked positions are multiplied by zero weights, and 0 * nan is nan
        self.keys = [like.new_zeros(size) for _ in range(shape.layers)]
        self.values = [like.new_zeros(size) for _ in range(shape.layers)]

    @property
    def length(self) -> int:
        """T, the positions that there is room for."""
        return self.keys[0].shape[2]

    def reserve(self, length: int) -> None:
        """Make room for positions below `length`."""
        if (short := length - self.length) > 0:
            room = -(-short // self.BLOCK) * self.BLOCK
            self._replace(lambda part: F.pad(part, (0, 0, 0, room)))

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these: finished rows cost nothing."""
        self._replace(lambda part: part[rows])

    def part(self, rows: slice) -> Cache:
        """Some of the rows: what is written to them is written here."""
        view = object.__new__(Cache)
        view.keys, view.values = [k[rows] for k in self.keys], [v[rows] for v in self.values]
        return view

    def _replace(self, by: Callable[[Tensor], Tensor]) -> None:
        for parts in (self.keys, self.values):
            for i, part in enumerate(parts):
                parts[i] = by(part)


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
    def from_folder(cls, folder: str | Path, dtype: str | None = None, device: str | torch.device = "cpu") -> Decoder:
        """Read a Hugging Face folder, its weights in one file or several; dtype None keeps theirs.

        Raises IntroError when it is not such a folder.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        files = weight_files(folder)
        to = None if dtype is None else getattr(torch, dtype)
        try:
            shape = Shape.of(json.loads((folder / "config.json").read_text()), str(folder))
            weights: dict[str, Tensor] = {}
            for file in files:
                weights |= {name: t.to(device, to or t.dtype) for name, t in load_file(file).items()}
            return cls(shape, weights)
        except (SafetensorError, ValueError, KeyError) as error:
            raise IntroError(f"{folder}: the model folder is damaged ({error}); delete it and make it again") from None

    def _layer(self, i: int) -> dict[str, Tensor]:
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
            if self.shape.frequencies is not None:
                frequency = torch.tensor(self.shape.frequencies, device=positions.device)
            angle = torch.outer(torch.arange(self._rope_length, device=positions.device).float(), frequency)
            angle = torch.cat([angle, angle], dim=-1)
            dtype = self.embedding.dtype
            scale = self.shape.rope_scale
            self._cos, self._sin = (angle.cos() * scale).to(dtype), (angle.sin() * scale).to(dtype)
        return self._cos[positions].unsqueeze(-2), self._sin[positions].unsqueeze(-2)

    def _project(self, layer: dict, x: Tensor, rope: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v as [B, heads, L, head_dim] of normalised input x [B, L, d]; q and k rotated."""
        out = []
        for name, heads in (("q", self.shape.heads), ("k", self.shape.kv_heads), ("v", self.shape.kv_heads)):
            y = _linear(x, layer, f"self_attn.{name}_proj").view(*x.shape[:2], heads, self.shape.head_dim)
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
                cache.keys[i][:, :, :length], cache.values[i][:, :, :length] = k, v
                a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            else:
                at = positions[:, 0]
                cache.keys[i][rows, :, at], cache.values[i][rows, :, at] = k[:, :, 0], v[:, :, 0]
                length = mask.shape[-1]
                a = self._attend(q, cache.keys[i][:, :, :length], cache.values[i][:, :, :length], mask)
            a = a.transpose(1, 2).reshape(*tokens.shape, -1)
            x = x + _linear(a, layer, "self_attn.o_proj")
            h = self._norm(x, layer["post_attention_layernorm.weight"])
            gate, up = _linear(h, layer, "mlp.gate_proj"), _linear(h, layer, "mlp.up_proj")
            x = x + _linear(F.silu(gate) * up, layer, "mlp.down_proj")
        return self._norm(x, self.weights["model.norm.weight"])

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.shape.epsilon)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """One query per row over its cache. Queries that share a KV head go into one matmul: no repeat of k, v."""
        rows, heads, _, dim = q.shape
        shared = q.view(rows, self.shape.kv_heads, heads // self.shape.kv_heads, dim)
        if q.dtype != torch.float32:  # a product rounded to bfloat16 loses scores that fused attention keeps in fp32
            return F.scaled_dot_product_attention(shared, k, v, attn_mask=mask).reshape(rows, heads, 1, dim)
        scores = shared @ k.transpose(-1, -2) * dim**-0.5  # [B, kv heads, group, T]
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return (weights @ v).view(rows, heads, 1, dim)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.lm_head)


def _linear(x: Tensor, layer: dict[str, Tensor], name: str) -> Tensor:
    return F.linear(x, layer[f"{name}.weight"], layer.get(f"{name}.bias"))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
