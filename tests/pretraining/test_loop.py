"""The pretraining loop: the loss decreases and repeats, and all tokens have the same weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from intro.pretraining import loop
from intro.pretraining.base_model import build_model
from intro.pretraining.loop import pretrain
from toy import rows_and_tokenizer


def test_training_reduces_the_loss_and_repeats(tmp_path: Path) -> None:
    """The loss falls from about ln(vocabulary) by a third in 40 steps; the same seed gives the same model."""
    config, _, tokenizer, rows = rows_and_tokenizer(tmp_path)
    settings = config.pretraining.model_copy(update={"adamw_lr": 0.03, "muon_lr": 0.1})
    runs = []
    for _ in range(2):
        model = build_model(config.models["qwen2-s"], tokenizer, 128, seed=3)
        runs.append((pretrain(model, rows, settings), model))
    losses = runs[0][0]
    assert len(losses) == 40 and not runs[0][1].training
    assert abs(losses[0] - torch.tensor(float(tokenizer.get_vocab_size())).log()) < 0.5
    assert sum(losses[-5:]) < 0.67 * sum(losses[:5])
    assert losses == runs[1][0]
    for a, b in zip(runs[0][1].parameters(), runs[1][1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_token_has_the_same_weight_in_every_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The loss is divided by one constant, the usual number of response tokens, whatever the length of a batch."""
    config, _, tokenizer, rows = rows_and_tokenizer(tmp_path)
    divisors = []
    monkeypatch.setattr(loop, "train_step", lambda model, rows, tokens, *_: divisors.append(tokens) or 0.0)
    pretrain(build_model(config.models["qwen2-s"], tokenizer, 128, seed=3), rows, config.pretraining)
    responses = sum(len(ids) - prompt for ids, prompt in rows)
    assert set(divisors) == {config.pretraining.batch * responses / len(rows)}
