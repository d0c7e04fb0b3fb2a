"""The files that `intro train` and `intro sweep` write for the toy world."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from intro.config import Config
from intro.experiments import Cell, base_folder, grid_file, problems_file
from intro.infra.digests import weights_digest
from intro.model.load import load_model
from intro.tasks.jsonl import read_jsonl
from intro.training import run
from intro.training.selection import GRID_KEYS, select
from intro.types import IntroError


def test_train_reads_the_run_of_the_sweep(toy_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of equal settings are trained once: after the sweep, the run of the paper protocol is only read."""
    for method in toy_config.methods:
        run.sweep(toy_config, "qwen2-s", method)
    lines = read_jsonl(grid_file(toy_config, "qwen2-s", "intro"), GRID_KEYS, "")
    assert len(lines) == 2 * 10 and {line["lr"] for line in lines} == {0.001, 0.003}
    run.sweep(toy_config, "qwen2-s", "base")
    untrained = read_jsonl(grid_file(toy_config, "qwen2-s", "base"), GRID_KEYS, "")
    assert [line["lr"] for line in untrained] == [None] * 10  # what every rate is judged against
    assert [line["problem"] for line in untrained] == [line["problem"] for line in lines[:10]]
    select(toy_config)
    monkeypatch.setattr(run.Trainer, "step", None)
    cell = Cell("qwen2-s", "intro", "paper", 0)
    run.train_cell(toy_config, cell)
    folder = cell.folder(toy_config)
    assert load_model(folder / "final").config.model_type == "qwen2"
    assert (folder / "final" / "tokenizer.json").is_file()
    metrics = pd.read_csv(folder / "metrics.csv")
    assert list(metrics.step) == [1, 2, 3] and set(metrics.method) == {"intro"}
    assert set(pd.read_csv(folder / "curves.csv").subset) == {"hard", "all", "train"}
    record = json.loads((folder / "record.json").read_text())
    assert record["steps"] == record["settings"]["steps"] == 3
    assert record["settings"]["base"] == weights_digest(base_folder(toy_config, "qwen2-s"))
    assert "hardware" not in record["settings"]  # the default one is not named
    without_states = toy_config.model_copy(
        update={"training": toy_config.training.model_copy(update={"keep_states": False})}
    )
    run.train_cell(without_states, cell)  # finished, so nothing is trained; its state goes
    with pytest.raises(TypeError):  # and without it the run would have to be trained
        run.train_cell(toy_config, cell)


def test_fewer_problems_than_the_config_says_are_refused(toy_config: Config) -> None:
    """The number of steps comes from the config, so a truncated file would train on some problems twice."""
    file = problems_file(toy_config, "train")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(IntroError, match=r"train\.jsonl: expected 12 problems, found 11; run `intro data` again"):
        run.sweep(toy_config, "qwen2-s", "sft")


def test_unknown_method_is_one_sentence(toy_config: Config) -> None:
    with pytest.raises(IntroError, match="method: unknown 'ppo'"):
        run.sweep(toy_config, "qwen2-s", "ppo")
