"""A tiny base model before training, and as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from intro.config import TinyModel

CONTEXT = 512  # positions of the tiny models


def build_model(model: TinyModel, tokenizer: Tokenizer, context: int, seed: int, **settings: object) -> PreTrainedModel:
    """A randomly initialised model of the configured architecture and the tokenizer's vocabulary.

    context: positions. settings: replace values of the model's config.json.
    """
    torch.manual_seed(seed)
    usual = {
        "vocab_size": tokenizer.get_vocab_size(), "hidden_size": model.hidden,
        "intermediate_size": model.intermediate or 4 * model.hidden, "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads, "num_key_value_heads": model.kv_heads,
        "head_dim": model.hidden // model.heads, "max_position_embeddings": context, "tie_word_embeddings": True,
        "bos_token_id": None, "eos_token_id": tokenizer.token_to_id("<eos>"),
        "pad_token_id": tokenizer.token_to_id("<pad>"),
    }  # fmt: skip
    config = AutoConfig.for_model(model.architecture, **(usual | settings))
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def save_base(model: PreTrainedModel, tokenizer: Tokenizer, settings: dict[str, object], folder: Path) -> None:
    """An ordinary Hugging Face folder: weights, config and tokenizer."""
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings).save_pretrained(folder)
