"""Sizes of Qwen2, Qwen3 and Llama decoders: parameters, key-value cache, and the FLOPs of one forward pass."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intro.config import Config, TinyModel
from intro.experiments import base_folder
from intro.types import IntroError

# parameters of a family beside its matrices
FAMILIES = {"qwen2": {"biases": True}, "qwen3": {"qk_norm": True}, "llama": {}}


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a decoder, as a Hugging Face config.json names them."""

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
    def of(cls, config: Mapping[str, Any], where: str) -> ModelShape:
        """From a config.json. Raises IntroError for another family or a missing size."""
        family = config.get("model_type")
        if family not in FAMILIES:
            raise IntroError(f"{where}: expected a model of type {', '.join(FAMILIES)}, found {family!r}")
        try:
            layers, hidden, intermediate, heads, kv_heads, vocabulary = (config[key] for key in SIZES)
        except KeyError as error:
            raise IntroError(f"{where}: {error} is missing; expected a config.json as Hugging Face writes it") from None
        head_dim, tied = config.get("head_dim") or hidden // heads, bool(config.get("tie_word_embeddings", False))
        return cls(layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary, tied, **FAMILIES[family])

    @property
    def queries(self) -> int:
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def matrices(self) -> int:
        """Parameters that multiply every token inside the layers: no embedding, no head."""
        return self.layers * self.hidden * (2 * self.queries + 2 * self.keys + 3 * self.intermediate)

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
        """One pass over `tokens`, with logits at `predicted` of them (None: all); a multiplication is 2 FLOPs.

        `context` is the length of a sequence: causal attention adds 2 * queries * context per token and layer.
        """
        attention = 2 * self.layers * self.queries * context
        return tokens * (2 * self.matrices + attention) + 2 * self.head * (tokens if predicted is None else predicted)

    def activation_bytes(self, width: int = 2, recomputed: bool = False) -> float:
        """Bytes per token that a forward pass with gradient keeps for the backward pass, logits not counted.

        transformers' eager layers: each norm keeps an fp32 copy, the MLP its four intermediate results, attention its
        queries, keys, values and output. `recomputed`: only each layer's input is kept, and one layer at a time is
        whole, with the gradients inside its MLP.
        """
        norm = 4 + width  # the fp32 copy, and the result in the model's own width
        layer = 2 * (norm + width) * self.hidden + (norm * (self.queries + self.keys) if self.qk_norm else 0)
        layer += width * (2 * self.queries + 2 * self.keys + 4 * self.intermediate)
        if recomputed:
            return width * (self.layers * self.hidden + 2 * self.intermediate) + layer
        return self.layers * layer


SIZES = tuple(
    "num_hidden_layers hidden_size intermediate_size num_attention_heads num_key_value_heads vocab_size".split()
)


def _known(family: str, *sizes: int, tied: bool = True) -> ModelShape:
    config = dict(zip(SIZES, sizes, strict=True), model_type=family, head_dim=128, tie_word_embeddings=tied)
    return ModelShape.of(config, family)


# from the config.json of each, so that an estimate needs no download
KNOWN = {
    "Qwen/Qwen2.5-1.5B": _known("qwen2", 28, 1536, 8960, 12, 2, 151936),
    "Qwen/Qwen2.5-3B": _known("qwen2", 36, 2048, 11008, 16, 2, 151936),
    "Qwen/Qwen2.5-7B": _known("qwen2", 28, 3584, 18944, 28, 4, 152064, tied=False),
    "Qwen/Qwen3-4B-Base": _known("qwen3", 36, 2560, 9728, 32, 8, 151936),
    "Qwen/Qwen3-8B-Base": _known("qwen3", 36, 4096, 12288, 32, 8, 151936, tied=False),
    "Qwen/Qwen2.5-72B-Instruct": _known("qwen2", 80, 8192, 29568, 64, 8, 152064, tied=False),
    "meta-llama/Llama-3.2-3B": _known("llama", 28, 3072, 8192, 24, 8, 128256),
}


def shape_of(config: Config, name: str) -> ModelShape:
    """Sizes of a model of the config. Raises IntroError for a checkpoint that is neither on the disk nor in KNOWN."""
    model = config.models[name]
    if not isinstance(model, TinyModel):
        return checkpoint_shape(model.checkpoint, base_folder(config, name))
    from intro.tasks.registry import load_source

    vocabulary = load_source(config.data, config.prompts, config.seed).build_tokenizer().get_vocab_size()
    sizes = (
        model.layers,
        model.hidden,
        model.intermediate or 4 * model.hidden,
        model.heads,
        model.kv_heads,
        vocabulary,
    )
    config_json = dict(zip(SIZES, sizes, strict=True), model_type=model.architecture, tie_word_embeddings=True)
    return ModelShape.of(config_json, name)


def checkpoint_shape(checkpoint: str, fetched: Path | None = None) -> ModelShape:
    """Sizes of a Hub id or a folder. fetched: where `intro fetch` puts a checkpoint of the Hub."""
    mirror = os.environ.get("INTRO_MODELS_DIR")
    local = Path(checkpoint) if checkpoint.startswith((".", "/")) else None
    for folder in (local, Path(mirror, checkpoint) if mirror else None, fetched):
        if folder is not None and (file := folder / "config.json").is_file():
            try:
                return ModelShape.of(json.loads(file.read_text()), str(file))
            except ValueError:
                raise IntroError(f"{file}: expected the JSON of a model's config, found something else") from None
    if checkpoint not in KNOWN:
        raise IntroError(
            f"{checkpoint}: the sizes of this checkpoint are not known here; fetch it first (`intro fetch`) "
            "or name a folder with its config.json"
        )
    return KNOWN[checkpoint]
