"""The arithmetic of Qwen2, Qwen3 and Llama decoders: parameters, cache, FLOPs, and seconds on an accelerator."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from intro.config import Config, Serving, TinyModel
from intro.cost.estimate.assumptions import ENGINES, Accelerator, Assumptions
from intro.experiments import base_folder
from intro.types import IntroError

SIZES = "num_hidden_layers hidden_size intermediate_size num_attention_heads num_key_value_heads vocab_size".split()
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


# from the config.json of each, so that an estimate needs no download
KNOWN = {
    "Qwen/Qwen2.5-1.5B": ModelShape(28, 1536, 8960, 12, 2, 128, 151936, tied=True, biases=True),
    "Qwen/Qwen2.5-3B": ModelShape(36, 2048, 11008, 16, 2, 128, 151936, tied=True, biases=True),
    "Qwen/Qwen2.5-7B": ModelShape(28, 3584, 18944, 28, 4, 128, 152064, tied=False, biases=True),
    "Qwen/Qwen3-4B-Base": ModelShape(36, 2560, 9728, 32, 8, 128, 151936, tied=True, qk_norm=True),
    "Qwen/Qwen3-8B-Base": ModelShape(36, 4096, 12288, 32, 8, 128, 151936, tied=False, qk_norm=True),
    "Qwen/Qwen2.5-72B-Instruct": ModelShape(80, 8192, 29568, 64, 8, 128, 152064, tied=False, biases=True),
    "meta-llama/Llama-3.2-3B": ModelShape(28, 3072, 8192, 24, 8, 128, 128256, tied=True),
}


def width_of(serving: Serving) -> int:
    """Bytes per number of weights and activations."""
    return 2 if serving.dtype == "bfloat16" else 4


def shape_of(config: Config, name: str) -> ModelShape:
    """Sizes of a model of the config. Raises IntroError for a checkpoint that is neither on the disk nor in KNOWN."""
    model = config.models[name]
    if not isinstance(model, TinyModel):
        return checkpoint_shape(model.checkpoint, base_folder(config, name))
    from intro.tasks.registry import load_source

    vocabulary = load_source(config.data, config.prompts, config.seed).build_tokenizer().get_vocab_size()
    width, inner = model.hidden, model.intermediate or 4 * model.hidden
    sizes = (model.layers, width, inner, model.heads, model.kv_heads, width // model.heads, vocabulary)
    return ModelShape(*sizes, tied=True, **FAMILIES[model.architecture])


def config_file(checkpoint: str, fetched: Path | None = None) -> Path | None:
    """The config.json of a Hub id or a folder; None where the checkpoint is not on this machine."""
    store = os.environ.get("INTRO_MODELS_DIR")
    local = Path(checkpoint) if checkpoint.startswith((".", "/")) else Path(store, checkpoint) if store else None
    files = [folder / "config.json" for folder in (local, fetched) if folder is not None]
    return next((file for file in files if file.is_file()), None)


def checkpoint_shape(checkpoint: str, fetched: Path | None = None) -> ModelShape:
    """Sizes of a Hub id or a folder. fetched: where `intro fetch` puts a checkpoint of the Hub."""
    if (file := config_file(checkpoint, fetched)) is not None:
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


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens generated, FLOPs, and device-seconds summed over the devices that share the work."""

    tokens: float = 0.0
    flops: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.flops + other.flops, self.seconds + other.seconds)

    def __mul__(self, factor: float) -> Spent:
        return Spent(self.tokens * factor, self.flops * factor, self.seconds * factor)


NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work takes. Seconds are device-seconds: eight GPUs for an hour are eight hours."""

    runs: int = 0
    evaluations: int = 0
    training: Spent = NOTHING
    rollouts: Spent = NOTHING
    evaluation: Spent = NOTHING
    grading_seconds: float = 0.0  # of one CPU core
    disk_bytes: float = 0.0
    state_bytes: float = 0.0  # the part of the disk that only serves to resume

    @property
    def device_seconds(self) -> float:
        return self.training.seconds + self.rollouts.seconds + self.evaluation.seconds

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Response lengths: exponential, cut off at `limit`. `scale` is the mean that the uncut distribution has."""

    mean: float
    limit: int
    scale: float

    @classmethod
    def of(cls, mean: float, limit: int) -> Lengths:
        """The scale whose mean after the cut is `mean`, found by bisection; 0 < mean < limit."""
        low, high = mean, 1e6 * limit
        for _ in range(200):
            middle = (low + high) / 2
            short = middle * -math.expm1(-limit / middle) < mean
            low, high = (middle, high) if short else (low, middle)
        return cls(mean, limit, (low + high) / 2)

    def alive(self, position: float) -> float:
        """Share of the responses that are longer than `position`, which is below the limit."""
        return math.exp(-position / self.scale)


POINTS = 64  # of the integral over a response's positions


@dataclass(frozen=True, slots=True)
class Roofline:
    """One model on `devices` that each hold an equal part of its weights: the larger of bandwidth and arithmetic."""

    shape: ModelShape
    serving: Serving
    accelerator: Accelerator
    assumed: Assumptions
    devices: int = 1

    @property
    def weight_bytes(self) -> float:
        return width_of(self.serving) * self.shape.parameters

    def rows(self, prompt: int, lengths: Lengths, resident: float, batch: int) -> int:
        """Rows decoded at once beside `resident` bytes: from one to `batch`, whose caches fill half of the rest.

        Paged caches hold the present tokens, others have room for the longest response (rollout/native.py).
        """
        tokens = round(prompt + (lengths.mean if ENGINES[self.serving.engine].paged else lengths.limit))
        free = self.accelerator.memory * 1e9 - resident
        return max(1, min(batch, int(0.5 * free / (tokens * self.shape.cache_bytes(width_of(self.serving))))))

    def whole(self, flops: float) -> Spent:
        """Passes over whole sequences: training, scoring, prefill."""
        seconds = self.assumed.slack * flops / (self.accelerator.tflops * 1e12 * self.assumed.mfu)
        return Spent(flops=flops, seconds=seconds)

    def step_seconds(self, rows: float, context: float) -> float:
        """One token for each of `rows` responses, whose caches hold `context` tokens on average."""
        shape, chip, assumed, width = self.shape, self.accelerator, self.assumed, width_of(self.serving)
        moved = width * (shape.matrices + shape.head) + rows * context * shape.cache_bytes(width)
        flops = shape.forward_flops(rows, context=2 * context)  # a new token attends to all, not to half
        bandwidth = moved / (chip.bandwidth * 1e12 * assumed.bandwidth_share * self.devices)
        compute = flops / (chip.tflops * 1e12 * assumed.decode_share * self.devices)
        return max(bandwidth, compute) + shape.layers * ENGINES[self.serving.engine].overhead

    def generate(self, rows: int, prompt: float, lengths: Lengths, batch: int) -> Spent:
        """Responses to `rows` prompts, `batch` at a time: prefill, then token by token; finished rows are refilled."""
        if rows == 0:
            return Spent()
        batch = max(1, min(batch, rows))
        prefill = self.whole(self.shape.forward_flops(rows * prompt, rows, prompt))
        flops = self.shape.forward_flops(rows * lengths.mean, context=2 * (prompt + lengths.mean))
        full = (rows - batch) * lengths.mean / batch  # steps with every place taken
        seconds = full * self.step_seconds(batch, prompt + lengths.mean) + self._drain(batch, prompt, lengths)
        return prefill + Spent(rows * lengths.mean, flops, self.assumed.slack * seconds * self.devices)

    def _drain(self, rows: int, prompt: float, lengths: Lengths) -> float:
        """Seconds until the longest of `rows` responses that began together ends."""
        width, total = lengths.limit / POINTS, 0.0
        for point in range(POINTS):
            position = (point + 0.5) * width
            alive = lengths.alive(position)
            any_left = -math.expm1(rows * math.log1p(-min(alive, 1 - 1e-12)))  # a probability
            if any_left > 0:
                total += any_left * width * self.step_seconds(rows * alive / any_left, prompt + position)
        return total
