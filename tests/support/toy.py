"""Random models of a few thousand weights, a world of a few problems on disk, and other small substitutes for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from intro import config as configuration
from intro.config import Config
from intro.experiments import base_folder
from intro.model.tokenizer import ModelTokenizer
from intro.pretraining.base_model import build_model, save_base
from intro.pretraining.corpus import encode_corpus
from intro.rollout.decoder import Decoder
from intro.rollout.kv_cache import KVCache
from intro.tasks.prepare import prepare
from intro.tasks.registry import load_source
from intro.types import Grade, Problem

FAMILIES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}


def plain_logp(hidden: Tensor, head: Tensor) -> Tensor:
    """log softmax from its definition, one row at a time."""
    rows = []
    for h in hidden:
        logits = torch.stack([(h * w).sum() for w in head])
        rows.append(logits - logits.exp().sum().log())
    return torch.stack(rows)


def random_model(family: str = "qwen2", tied: bool = True, vocabulary: int = 20, seed: int = 0) -> PreTrainedModel:
    """A model with spread-out logits whose biases and norms are not at their starting values."""
    config_class, model_class = FAMILIES[family]
    settings = config_class(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8 if family == "qwen3" else 4,  # Qwen3's heads need not divide the width
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=None,
    )
    torch.manual_seed(seed)
    model = model_class(settings).eval()
    disturb(model, seed)
    return model


def disturb(model: nn.Module, seed: int) -> None:
    """Move biases and norm weights away from 0 and 1, where leaving one out would change nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)


def random_tokens(count: int, vocabulary: int, generator: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(vocabulary, (count,), generator=generator).tolist())


def logits_of(decoder: Decoder, tokens: Tensor) -> Tensor:
    """A decoder's logits [L, V] at every position of tokens [L], in one prefill of L copies."""
    every = torch.arange(len(tokens), device=tokens.device)
    cache = KVCache(decoder.config, len(tokens), len(tokens), decoder.embedding)
    with torch.inference_mode():
        return decoder.logits(decoder.prefill(tokens.expand(len(tokens), -1), every, cache, slice(len(tokens)), every))


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def mapping(root: Path) -> dict[str, Any]:
    """The plain mapping of a config whose every number is small."""
    model = {"hidden": 16, "layers": 2, "heads": 2, "kv_heads": 1}
    return {
        "scale": "toy",
        "results": str(root / "results"),
        "figures": str(root / "figures"),
        "data": {
            "source": "tiny_world",
            "train_problems": 12,
            "validation_problems": 10,
            "corpus_documents": 96,
            "benchmarks": {
                "chain-2": {"stands_for": "math500", "problems": 4},
                "chain-3": {"stands_for": "aime25", "problems": 3, "samples": 2},
            },
        },
        "models": {
            "qwen2-s": {"stands_for": "Qwen2.5-1.5B", "architecture": "qwen2", **model},
            "qwen3-m": {"stands_for": "Qwen3-4B", "architecture": "qwen3", **model},
        },
        "pretraining": {"steps": 40, "batch": 16, "muon_lr": 0.02, "adamw_lr": 0.003},
        "prompts": {"question": "{question} :", "posterior": "{question} given {answer} :"},
        "training": {
            "prompts_per_step": 4,
            "group_size": 2,
            "max_response_tokens": 30,
            "micro_batch_tokens": 120,
            "eval_every": 2,
            "curve_problems": 4,
            "checkpoint_every": 2,
            "learning_rates": [0.001, 0.003],
            "sweep_models": ["qwen2-s"],
            "protocols": ["paper", "tuned"],
            "train_seeds": [0],
        },
        "methods": {name: {"objective": name, "label": name.upper()} for name in ("sft", "grpo", "intro")},
        "ablation_n": {"model": "qwen2-s", "method": "intro", "grid": [1, 5]},
        "baseline": "grpo",
        "controls": {"model": "qwen2-s"},
        "evaluation": {
            "temperature": 0.6,
            "top_p": 0.95,
            "max_response_tokens": 30,
            "hard": ["aime25"],
            "suites": {"main": {"benchmarks": ["chain-2", "chain-3"]}},
        },
        "cost": {"model": "qwen2-s", "tokens": 60, "runs": 1},
    }


def write_world(root: Path) -> Config:
    """Problems, corpus and randomly initialised base models of the toy config, as files below `root`."""
    config = configuration.parse(mapping(root))
    prepare(config)
    source = load_source(config.data, config.prompts, config.seed)
    tokenizer = source.build_tokenizer()
    for seed, name in enumerate(config.models):
        model = build_model(config.models[name], tokenizer, 128, seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter *= 5  # away from the uniform distribution
        save_base(model, tokenizer, source.tokenizer_settings(), base_folder(config, name))
    return config


class LengthJudge:
    """The toy world's source, except that a response is correct when its number of words is even.

    A random model solves no problem; this gives it both correct and wrong rationales.
    """

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def grade(self, text: str, problem: Problem) -> Grade:
        even = len(text.split()) % 2 == 0
        return Grade(even, text, "correct" if even else "wrong answer")

    def grade_all(self, pairs: list[tuple[str, Problem]]) -> list[Grade]:
        return [self.grade(*pair) for pair in pairs]


def tokenizer_of(config: Config, model: str) -> ModelTokenizer:
    return ModelTokenizer.from_folder(base_folder(config, model))


def rows_and_tokenizer(root: Path) -> tuple[Config, Any, Any, list[tuple[list[int], int]]]:
    """The toy config, its source and tokenizer, and a few encoded documents of the corpus."""
    config = configuration.parse(mapping(root))
    source = load_source(config.data, config.prompts, config.seed)
    tokenizer = source.build_tokenizer()
    return config, source, tokenizer, encode_corpus(source.corpus("clean", 96), tokenizer)
