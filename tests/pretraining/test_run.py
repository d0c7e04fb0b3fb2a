"""The files that `intro pretrain` writes for the toy world."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from intro.config import Config
from intro.experiments import base_folder
from intro.infra.digests import file_digest
from intro.model.load import load_model
from intro.pretraining.run import pretrain_base
from intro.types import IntroError


def test_pretrain_writes_a_model_with_its_record(toy_config: Config) -> None:
    folder = base_folder(toy_config, "qwen2-s")
    before = file_digest(folder / "model.safetensors")
    pretrain_base(toy_config, "qwen2-s", 0)
    assert file_digest(folder / "model.safetensors") != before
    record = json.loads((folder / "record.json").read_text())
    assert record["parameters"] == sum(p.numel() for p in load_model(folder).parameters())
    assert len(pd.read_csv(folder / "pretraining.csv")) == 40
    pretrain_base(toy_config, "qwen2-s", 1)
    other = base_folder(toy_config, "qwen2-s", 1)
    assert other != folder and json.loads((other / "record.json").read_text())["seed"] == 1
    assert file_digest(other / "model.safetensors") != file_digest(folder / "model.safetensors")


def test_unknown_model_is_one_sentence(toy_config: Config) -> None:
    with pytest.raises(IntroError, match="model: unknown 'gpt'; this config has qwen2-s, qwen3-m"):
        pretrain_base(toy_config, "gpt", 0)
