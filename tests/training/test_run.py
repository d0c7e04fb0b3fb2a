"""The commands on disk: what `intro pretrain`, `train` and `sweep` leave behind for the toy world."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from intro.config import Config
from intro.experiments import Cell, base_folder, grid_file
from intro.infra.digests import file_digest, weights_digest
from intro.model.load import load_model
from intro.tasks.jsonl import read_jsonl
from intro.training import run as stages
from intro.training.selection import GRID_KEYS, select
from intro.types import IntroError


def test_pretrain_writes_a_model_with_its_record(toy_config: Config) -> None:
    folder = base_folder(toy_config, "qwen2-s")
    before = file_digest(folder / "model.safetensors")
    stages.pretrain_base(toy_config, "qwen2-s", 0)
    assert file_digest(folder / "model.safetensors") != before
    record = json.loads((folder / "record.json").read_text())
    assert record["parameters"] == sum(p.numel() for p in load_model(folder).parameters())
    assert len(pd.read_csv(folder / "pretraining.csv")) == 40
    stages.pretrain_base(toy_config, "qwen2-s", 1)
    other = base_folder(toy_config, "qwen2-s", 1)
    assert other != folder and json.loads((other / "record.json").read_text())["seed"] == 1
    assert file_digest(other / "model.safetensors") != file_digest(folder / "model.safetensors")


def test_sweep_select_train_is_one_chain(toy_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of equal settings are trained once: after the grid, the paper protocol's run is only read."""
    for method in toy_config.methods:
        stages.sweep(toy_config, "qwen2-s", method)
    lines = read_jsonl(grid_file(toy_config, "qwen2-s", "intro"), GRID_KEYS, "")
    assert len(lines) == 2 * 10 and {line["lr"] for line in lines} == {0.001, 0.003}
    stages.sweep(toy_config, "qwen2-s", "base")
    untrained = read_jsonl(grid_file(toy_config, "qwen2-s", "base"), GRID_KEYS, "")
    assert [line["lr"] for line in untrained] == [None] * 10  # what every rate is judged against
    assert [line["problem"] for line in untrained] == [line["problem"] for line in lines[:10]]
    select(toy_config)
    monkeypatch.setattr(stages.Trainer, "step", None)
    cell = Cell("qwen2-s", "intro", "paper", 0)
    stages.train_cell(toy_config, cell)
    folder = cell.folder(toy_config)
    assert load_model(folder / "final").config.model_type == "qwen2"
    assert (folder / "final" / "tokenizer.json").is_file()
    metrics = pd.read_csv(folder / "metrics.csv")
    assert list(metrics.step) == [1, 2, 3] and set(metrics.method) == {"intro"}
    assert set(pd.read_csv(folder / "curves.csv").subset) == {"hard", "all", "train"}
    record = json.loads((folder / "record.json").read_text())
    assert record["steps"] == 3 and record["settings"]["base"] == weights_digest(base_folder(toy_config, "qwen2-s"))
    assert "hardware" not in record["settings"]  # the default one is not named
    forgetful = toy_config.model_copy(
        update={"training": toy_config.training.model_copy(update={"keep_states": False})}
    )
    stages.train_cell(forgetful, cell)  # finished, so nothing is trained; its state goes
    with pytest.raises(TypeError):  # and without it the run would have to be trained
        stages.train_cell(toy_config, cell)


def test_scratch_is_named_by_everything_that_decides_a_run(toy_config: Config) -> None:
    """Options of the method, rate, seed and base model change the name; labels and other methods do not."""
    bench = stages.RunContext.open(toy_config, "qwen2-s", base_folder(toy_config, "qwen2-s"))

    def changed(**update: object) -> stages.RunContext:
        return replace(bench, config=toy_config.model_copy(update=update))

    same = bench.settings("intro", 0.1, 0)
    relabelled = {n: m.model_copy(update={"label": "x"}) for n, m in toy_config.methods.items()}
    assert changed(methods=relabelled).settings("intro", 0.1, 0) == same
    clipped = {n: m.model_copy(update={"clip": 3.0}) if n == "intro" else m for n, m in toy_config.methods.items()}
    assert changed(methods=clipped).settings("intro", 0.1, 0) != same
    assert changed(methods=clipped).settings("grpo", 0.1, 0) == bench.settings("grpo", 0.1, 0)
    assert bench.settings("intro", 0.2, 0) != same != bench.settings("intro", 0.1, 1)
    other = replace(bench, model="qwen3-m", base=base_folder(toy_config, "qwen3-m"))
    assert other.settings("intro", 0.1, 0)["base"] != same["base"]
    short = toy_config.training.model_copy(update={"max_response_tokens": 7})
    assert changed(training=short).settings("intro", 0.1, 0) != same


def test_number_of_ranks_names_another_run(toy_config: Config) -> None:
    """Each rank draws its own random numbers, so a state of one rank must not continue as two."""
    model = toy_config.models["qwen2-s"]
    hardware = model.hardware.model_copy(update={"processes": 2, "zero": 2})
    models = toy_config.models | {"qwen2-s": model.model_copy(update={"hardware": hardware})}
    one = stages.RunContext.open(toy_config, "qwen2-s", base_folder(toy_config, "qwen2-s"))
    two = replace(one, config=toy_config.model_copy(update={"models": models}))
    assert one.settings("intro", 0.1, 0) != two.settings("intro", 0.1, 0)


def test_unknown_names_are_one_sentence(toy_config: Config) -> None:
    for call, message in (
        (lambda: stages.pretrain_base(toy_config, "gpt", 0), "model: unknown 'gpt'; this config has qwen2-s, qwen3-m"),
        (lambda: stages.sweep(toy_config, "qwen2-s", "ppo"), "method: unknown 'ppo'"),
    ):
        with pytest.raises(IntroError, match=message):
            call()
