"""The sizes of a Qwen2, Qwen3 or Llama decoder, read from a Hugging Face config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intro.types import IntroError

MODEL_TYPES = ("qwen2", "qwen3", "llama")
SCALED_ROPES = ("linear", "llama3", "yarn")  # frequencies that do not depend on the length


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The sizes of a decoder, read from a config.json as it was published or as transformers 5 writes it."""

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
    def of(cls, config: Mapping[str, Any], where: str) -> DecoderConfig:
        """Raises IntroError when the decoder does not support the model; `where` is named in the error."""
        if (model_type := config.get("model_type")) not in MODEL_TYPES:
            raise IntroError(f"{where}: expected a model of type {' or '.join(MODEL_TYPES)}, found {model_type!r}")
        # published files have use_sliding_window; transformers 5 also names the kind of every layer
        kinds = config.get("layer_types") or ["sliding_attention"] * bool(config.get("use_sliding_window"))
        if set(kinds) - {"full_attention"}:
            raise IntroError(f"{where}: expected full attention, found use_sliding_window; use the transformers engine")
        if (act := config.get("hidden_act", "silu")) != "silu":
            raise IntroError(f"{where}: hidden_act {act!r} is not supported by this decoder, only silu")
        heads = config["num_attention_heads"]
        # old: rope_theta at the top and rope_scaling, often null, beside it; transformers 5: both in rope_parameters
        rope = {"rope_theta": config.get("rope_theta", 10_000.0), **(config.get("rope_scaling") or {})}
        rope |= config.get("rope_parameters") or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in (known := ("default", *SCALED_ROPES)):
            raise IntroError(f"{where}: rope_type {kind!r} is not supported by this decoder, only {', '.join(known)}")
        head_dim = config.get("head_dim") or config["hidden_size"] // heads
        frequencies, scale = (None, 1.0) if kind == "default" else _scaled_rope({**config, "head_dim": head_dim}, kind)
        return cls(
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=head_dim,
            epsilon=config["rms_norm_eps"],
            rope_theta=rope["rope_theta"],
            context=config["max_position_embeddings"],
            frequencies=frequencies,
            rope_scale=scale,
        )

    @property
    def cached_per_token(self) -> int:
        """How many numbers the cache holds per token: keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim


def _scaled_rope(config: Mapping[str, Any], kind: str) -> tuple[tuple[float, ...], float]:
    """Inverse frequencies and the factor on cos and sin, as transformers computes them from the same config."""
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](AutoConfig.for_model(**config))
    return tuple(frequencies.tolist()), scale
