"""Checkpoints of a config become model folders with a record; other models are refused with a one-line error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import toy
from intro.config import Config, parse
from intro.evaluation.serve import serve
from intro.experiments import base_folder
from intro.model.fetch import fetch_judge, fetch_model
from intro.model.load import load_model
from intro.model.tokenizer import ModelTokenizer
from intro.rollout.sampling import Sampling
from intro.types import IntroError


@pytest.fixture
def config(toy_config: Config, tmp_path: Path) -> Config:
    """The toy world, where the first model is also a published checkpoint with the name "published"."""
    mapping = toy.mapping(tmp_path)
    mapping["models"]["published"] = {"stands_for": "Qwen2.5-7B", "checkpoint": str(base_folder(toy_config, "qwen2-s"))}
    return parse(mapping)


def test_fetched_model_is_a_folder_with_a_record(config: Config) -> None:
    """The folder links to the checkpoint, the record describes it, and both models generate the same tokens."""
    fetch_model(config, "published")
    folder = base_folder(config, "published")
    assert (folder / "model.safetensors").is_symlink()
    record = json.loads((folder / "record.json").read_text())
    parameters = sum(p.numel() for p in load_model(folder).parameters())
    assert record["parameters"] == parameters and record["settings"]["checkpoint"].endswith("qwen2-s/seed0")
    hardware = config.models["published"].hardware
    responses = []
    for name in ("published", "qwen2-s"):
        tokenizer = ModelTokenizer.from_folder(base_folder(config, name))
        engine = serve(hardware, base_folder(config, name), tokenizer, 4)
        responses.append(engine.generate([tokenizer.encode("3 + 4 :")], Sampling(8, temperature=0.0)))
    assert responses[0] == responses[1]


def test_what_cannot_be_fetched_is_a_one_line_error(config: Config) -> None:
    with pytest.raises(IntroError, match="'qwen3-m' is pretrained here, not fetched"):
        fetch_model(config, "qwen3-m")
    with pytest.raises(IntroError, match="unknown 'gpt'"):
        fetch_model(config, "gpt")
    with pytest.raises(IntroError, match="names no judge model"):
        fetch_judge(config)
