"""A base model's folder."""

from __future__ import annotations

from pathlib import Path

import torch

from intro.model.load import load_model
from intro.pretraining.base_model import build_model, save_base
from toy import rows_and_tokenizer


def test_saved_base_reads_back(tmp_path: Path) -> None:
    """Weights, end token and tokenizer are read back."""
    config, source, tokenizer, _ = rows_and_tokenizer(tmp_path)
    model = build_model(config.models["qwen3-m"], tokenizer, 128, seed=1)
    save_base(model, tokenizer, source.tokenizer_settings(), tmp_path / "m")
    loaded, ids = load_model(tmp_path / "m"), torch.tensor([[5, 6, 7]])
    assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
    assert loaded.config.eos_token_id == tokenizer.token_to_id("<eos>") and loaded.config.model_type == "qwen3"
