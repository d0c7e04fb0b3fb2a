"""The forward pass of Qwen2, Qwen3 and Llama for generation, over tensors with Hugging Face's names.

A decoder shares a live model's parameters, so rollouts use the current policy; or it reads a saved folder without
importing transformers, which takes half the time of a short process. It computes in the dtype and on the device of the
weights. `tests/rollout/test_native.py` and `tests/rollout/test_decoder.py` check its logits and greedy tokens against
`AutoModelForCausalLM`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from intro.model.checkpoints import read_json, weight_files
from intro.model.softmax import logits_of
from intro.rollout.decoder_config import DecoderConfig
from intro.rollout.kv_cache import KVCache
from intro.types import IntroError

Linear = tuple[Tensor, Tensor | None]  # weight and bias


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer. q, k and v are one matrix, so that q and k are normalised and rotated together; gate
    and up, most of a layer, are separate: one matrix was not faster, and would be another copy of a live model's."""

    norm: Tensor
    qkv: Linear
    head_norm: Tensor | None  # [heads + kv_heads, head_dim], of q and k: Qwen3 only
    o: Linear
    mlp_norm: Tensor
    gate: Linear
    up: Linear
    down: Linear

    @classmethod
    def of(cls, config: DecoderConfig, weights: Mapping[str, Tensor], prefix: str) -> Layer:
        """The layer below `prefix`. Raises KeyError when a weight is missing."""

        def linear(name: str) -> Linear:
            return weights[f"{prefix}{name}_proj.weight"], weights.get(f"{prefix}{name}_proj.bias")

        matrices, biases = zip(*(linear(f"self_attn.{name}") for name in "qkv"), strict=True)
        norms = [weights.get(f"{prefix}self_attn.{name}_norm.weight") for name in "qk"]
        heads = (config.heads, config.kv_heads)
        head_norms = [norm.expand(n, -1) for norm, n in zip(norms, heads, strict=True) if norm is not None]
        return cls(
            norm=weights[f"{prefix}input_layernorm.weight"],
            qkv=(torch.cat(matrices), None if biases[0] is None else torch.cat(biases)),
            head_norm=torch.cat(head_norms) if head_norms else None,
            o=linear("self_attn.o"),
            mlp_norm=weights[f"{prefix}post_attention_layernorm.weight"],
            gate=linear("mlp.gate"),
            up=linear("mlp.up"),
            down=linear("mlp.down"),
        )


class Decoder:
    """Prefill and decode steps over a KV cache, in which a token's index is its position: there is no left padding.

    Weights are shared with a live model, except q, k and v, which are copied into one matrix (7 % of the layers of
    Qwen2.5-1.5B): call `refresh` after the model has changed.
    """

    def __init__(self, config: DecoderConfig, weights: Mapping[str, Tensor], live: bool = False) -> None:
        self.config = config
        self.embedding = weights["model.embed_tokens.weight"]
        self.lm_head = weights.get("lm_head.weight", self.embedding)  # tied when absent
        self.norm = weights["model.norm.weight"]
        self.weights = weights if live else None  # the source of the copies
        self.layers = list(self._layers(weights))
        self._angles = self.embedding.new_empty(0, 2 * config.head_dim)

    @classmethod
    def from_model(cls, model: torch.nn.Module) -> Decoder:
        """Share the parameters of a transformers model."""
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        return cls(DecoderConfig.of(model.config.to_dict(), type(model).__name__), weights, live=True)

    @classmethod
    def from_folder(cls, folder: str | Path, dtype: str | None = None, device: str | torch.device = "cpu") -> Decoder:
        """Read a Hugging Face folder, with its weights in one file or several; dtype None keeps their dtype.

        Raises IntroError when it is not a model folder, or is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder, weights = Path(folder), {}
        to = None if dtype is None else getattr(torch, dtype)
        files, config = weight_files(folder), read_json(folder / "config.json")
        try:
            for file in files:
                weights |= {n: t.to(device, to or t.dtype) for n, t in load_file(file).items()}
            return cls(DecoderConfig.of(config, str(folder)), weights)
        except (SafetensorError, ValueError, KeyError) as error:
            raise IntroError(f"{folder}: the model folder is damaged ({error}); delete it and make it again") from None

    def _layers(self, weights: Mapping[str, Tensor]) -> Iterator[Layer]:
        return (Layer.of(self.config, weights, f"model.layers.{i}.") for i in range(self.config.layers))

    def refresh(self) -> None:
        """Copy the changed weights of a live model. Addresses do not change, so captured CUDA graphs stay valid."""
        if self.weights is not None:
            for old, new in zip(self.layers, self._layers(self.weights), strict=True):
                for copy, weight in zip((*old.qkv, old.head_norm), (*new.qkv, new.head_norm), strict=True):
                    if copy is not None:
                        copy.copy_(weight)

    def prefill(self, tokens: Tensor, last: Tensor, cache: KVCache, rows: slice, source: Tensor) -> Tensor:
        """Hidden states [R, d] at the last tokens of prompts, whose keys and values are stored in R rows of the cache.

        tokens: [P, L], padded on the right. last: [P], the index of each prompt's last token. source: [R], the index of
        each row's prompt; several rows may have the same prompt.
        """
        length = tokens.shape[1]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [P, heads, L, head_dim]
            cache.fill(layer, rows, k[source], v[source])
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            return a.transpose(1, 2).flatten(2)

        positions = torch.arange(length, device=tokens.device)
        hidden = self._forward(tokens, positions, cache.length, attend)
        return self._norm(hidden[torch.arange(len(tokens), device=tokens.device), last], self.norm)[source]

    def step(self, tokens: Tensor, at: Tensor, cache: KVCache, length: int) -> Tensor:
        """Hidden states [B, d] of one token [B] at position at [B] of each of the cache's first B rows.

        The keys and values of the tokens are stored. Positions below `length` are read, so `at` must be below it.
        """
        places = cache.places(at)
        unread = torch.arange(length, device=at.device) > at[:, None]
        bias = torch.zeros_like(unread, dtype=self.embedding.dtype).masked_fill_(unread, -torch.inf)[:, None, None]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            cache.put(layer, places, k, v)
            keys, values = (part[layer][: len(q), :, :length] for part in (cache.keys, cache.values))
            # queries that share a KV head are passed as one head's positions, so keys and values are not repeated
            shared = q.view(len(q), self.config.kv_heads, -1, self.config.head_dim)
            return F.scaled_dot_product_attention(shared, keys, values, attn_mask=bias).reshape(len(q), -1)

        return self._norm(self._forward(tokens, at, cache.length, attend), self.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [B, V] of hidden states [B, d], in the precision of the losses."""
        return logits_of(hidden, self.lm_head)

    def _forward(self, tokens: Tensor, positions: Tensor, room: int, attend: Callable[..., Tensor]) -> Tensor:
        """Hidden states [..., d] of tokens [...] at positions below `room`; their shapes are equal or broadcast.

        attend(layer, q, k, v) takes [..., heads, head_dim] and returns [..., heads * head_dim].
        """
        rope = F.embedding(positions, self._rope(room)).unsqueeze(-2).chunk(2, dim=-1)
        x = F.embedding(tokens, self.embedding)
        for i, layer in enumerate(self.layers):
            a = attend(i, *self._project(layer, self._norm(x, layer.norm), *rope))
            x = x + F.linear(a, *layer.o)
            h = self._norm(x, layer.mlp_norm)
            x = x + F.linear(F.silu(F.linear(h, *layer.gate)).mul_(F.linear(h, *layer.up)), *layer.down)
        return x

    def _project(self, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        """q, k and v [..., heads, head_dim] of the normalised input x [..., d], with q and k rotated."""
        heads, kv, dim = self.config.heads, self.config.kv_heads, self.config.head_dim
        qk, v = F.linear(x, *layer.qkv).unflatten(-1, (-1, dim)).split((heads + kv, kv), dim=-2)
        if layer.head_norm is not None:
            qk = F.rms_norm(qk, (dim,), eps=self.config.epsilon) * layer.head_norm
        qk = torch.addcmul(qk * cos, qk.roll(dim // 2, -1), sin)
        return *qk.split((heads, kv), dim=-2), v

    def _rope(self, length: int) -> Tensor:
        """A table of cos and sin, concatenated, for at least `length` positions [length, 2 * head_dim].

        The first half of sin is negative: a rotation is x * cos + (x with its halves swapped) * sin.
        """
        if len(self._angles) < length:
            device = self.embedding.device
            half = torch.arange(0, self.config.head_dim, 2, device=device).float()
            frequency = self.config.rope_theta ** (-half / self.config.head_dim)
            if self.config.frequencies is not None:
                frequency = torch.tensor(self.config.frequencies, device=device)
            angle = torch.outer(torch.arange(length, device=device).float(), frequency)
            cos, sin = angle.cos(), angle.sin()
            self._angles = (torch.cat([cos, cos, -sin, sin], dim=-1) * self.config.rope_scale).to(self.embedding.dtype)
        return self._angles

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.config.epsilon)
