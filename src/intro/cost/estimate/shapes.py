"""Sizes of Qwen2, Qwen3 and Llama decoders: parameters, key-value cache, and the FLOPs of one forward pass."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intro.config import Config, TinyModel
from intro.experiments import base_folder, check_model
from intro.types import IntroError

# what a family has beside its matrices
FAMILIES = {"qwen2": {"biases": True}, "qwen3": {"qk_norm": True}, "llama": {}}


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of L layers: what a Hugging Face config.json says of its sizes."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool  # whether the output matrix is the embedding
    qk_norm: bool = False  # norms on queries and keys
    biases: bool = False  # on queries, keys and values

    @classmethod
    def of(cls, config: Mapping[str, Any], where: str) -> Shape:
        """From a config.json. Raises IntroError for another family or a missing size."""
        family = config.get("model_type")
        if family not in FAMILIES:
            raise IntroError(f"{where}: expected a model of type {', '.join(FAMILIES)}, found {family!r}")
        try:
            heads = config["num_attention_heads"]
            return cls(
                config["num_hidden_layers"],
                config["hidden_size"],
                config["intermediate_size"],
                heads,
                config["num_key_value_heads"],
                config.get("head_dim") or config["hidden_size"] // heads,
                config["vocab_size"],
                bool(config.get("tie_word_embeddings", False)),
                **FAMILIES[family],
            )
        except KeyError as error:
            raise IntroError(f"{where}: {error} is missing; expected a config.json as Hugging Face writes it") from None

    @property
    def queries(self) -> int:
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def matrices(self) -> int:
        """Parameters that multiply every token inside the layers: no embedding, no head."""
        attention = 2 * self.hidden * self.queries + 2 * self.hidden * self.keys
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head(self) -> int:
        """Size of the output matrix [V, d]."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them, as transformers counts them."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        small = norms + (self.queries + 2 * self.keys if self.biases else 0)
        return self.matrices + self.layers * small + self.hidden + self.head * (1 if self.tied else 2)

    def cache_bytes(self, width: int = 2) -> int:
        """Bytes of keys and values per token; `width` bytes per number."""
        return 2 * self.layers * self.keys * width

    def forward_flops(self, tokens: float, predicted: float | None = None, context: float = 0.0) -> float:
        """One pass over `tokens`, with logits at `predicted` of them (None: all), a multiplication as 2 FLOPs.

        `context` is the length of a sequence: causal attention adds 2 * queries * context per token and layer.
        """
        attention = 2 * self.layers * self.queries * context
        return tokens * (2 * self.matrices + attention) + 2 * self.head * (tokens if predicted is None else predicted)

    def activation_bytes(self, width: int = 2, recomputed: bool = False) -> float:
        """Bytes per token that a forward pass with gradient keeps for the backward pass, logits not counted.

        transformers' eager layers: each norm keeps an fp32 copy, the MLP its four intermediate results,
        attention its queries, keys, values and output. `recomputed`: only each layer's input is kept, and one layer at
        a time is whole, with the gradients inside its MLP.
        """
        if recomputed:
            return width * (self.layers * self.hidden + 2 * self.intermediate) + self._layer_bytes(width)
        return self.layers * self._layer_bytes(width)

    def _layer_bytes(self, width: int) -> float:
        norm = 4 + width  # a norm keeps an fp32 number and its result in the model's own width
        norms = 2 * (norm + width) * self.hidden
        if self.qk_norm:
            norms += norm * (self.queries + self.keys)
        attention = width * (2 * self.queries + 2 * self.keys)
        return norms + attention + 4 * width * self.intermediate


def _known(family: str, layers: int, hidden: int, ffn: int, heads: int, kv: int, vocabulary: int, tied: bool) -> Shape:
    return Shape(layers, hidden, ffn, heads, kv, 128, vocabulary, tied, **FAMILIES[family])


# from the config.json of each: so that a plan needs no download
KNOWN = {
    "Qwen/Qwen2.5-1.5B": _known("qwen2", 28, 1536, 8960, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B": _known("qwen2", 36, 2048, 11008, 16, 2, 151936, True),
    "Qwen/Qwen2.5-7B": _known("qwen2", 28, 3584, 18944, 28, 4, 152064, False),
    "Qwen/Qwen3-4B-Base": _known("qwen3", 36, 2560, 9728, 32, 8, 151936, True),
    "Qwen/Qwen3-8B-Base": _known("qwen3", 36, 4096, 12288, 32, 8, 151936, False),
    "Qwen/Qwen2.5-72B-Instruct": _known("qwen2", 80, 8192, 29568, 64, 8, 152064, False),
    "meta-llama/Llama-3.2-3B": _known("llama", 28, 3072, 8192, 24, 8, 128256, True),
}


def shape_of(config: Config, name: str) -> Shape:
    """Sizes of one of the config's models: from its folder where there is one, else from what is known of it.

    Raises IntroError for a checkpoint that is neither here nor known.
    """
    check_model(config, name)
    model = config.models[name]
    if isinstance(model, TinyModel):
        return _tiny(config, model)
    return checkpoint_shape(model.checkpoint, base_folder(config, name))


def checkpoint_shape(checkpoint: str, fetched: Path | None = None) -> Shape:
    """Sizes of a Hub id or a folder; `fetched` is where a Hub checkpoint lies once it was fetched."""
    local = Path(checkpoint) if checkpoint.startswith((".", "/")) else None
    mirror = os.environ.get("INTRO_MODELS_DIR")
    for folder in (local, Path(mirror, checkpoint) if mirror else None, fetched):
        if folder is not None and (file := folder / "config.json").is_file():
            try:
                return Shape.of(json.loads(file.read_text()), str(file))
            except ValueError:
                raise IntroError(f"{file}: expected the JSON of a model's config, found something else") from None
    if checkpoint in KNOWN:
        return KNOWN[checkpoint]
    raise IntroError(
        f"{checkpoint}: the sizes of this checkpoint are not known here; fetch it first (`intro fetch`) "
        "or name a folder with its config.json"
    )


def _tiny(config: Config, model: TinyModel) -> Shape:
    from intro.tasks.registry import load_source

    vocabulary = load_source(config.data, config.prompts, config.seed).build_tokenizer().get_vocab_size()
    return Shape(
        model.layers,
        model.hidden,
        model.intermediate or 4 * model.hidden,
        model.heads,
        model.kv_heads,
        model.hidden // model.heads,
        vocabulary,
        tied=True,
        **FAMILIES[model.architecture],
    )
