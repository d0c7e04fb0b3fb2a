"""The resolved run: its settings hold everything that decides it and nothing else; the workflow can read them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

import toy
from intro.config import Config, Hardware, parse
from intro.experiments import Cell
from intro.training.run_spec import OUTSIDE_SETTINGS, RunSpec, settings_of

CELL = Cell("qwen2-s", "intro", "paper", 0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse(toy.mapping(tmp_path))


def spec_of(config: Config, cell: Cell = CELL, **update: object) -> RunSpec:
    return RunSpec.of(config.model_copy(update=update), cell, 0.1, "weights")


def test_scratch_is_named_by_everything_that_decides_a_run(config: Config) -> None:
    """Options of the method, rate, seed and base model change the name; labels and other methods do not."""
    same = spec_of(config)
    relabelled = {n: m.model_copy(update={"label": "x"}) for n, m in config.methods.items()}
    assert spec_of(config, methods=relabelled).key() == same.key()
    clipped = {n: m.model_copy(update={"clip": 3.0}) if n == "intro" else m for n, m in config.methods.items()}
    assert spec_of(config, methods=clipped).key() != same.key()
    grpo = replace(CELL, method="grpo")
    assert spec_of(config, grpo, methods=clipped).key() == spec_of(config, grpo).key()
    for other in (replace(same, learning_rate=0.2), replace(same, seed=1), replace(same, base="others")):
        assert other.key() != same.key()
    short = config.training.model_copy(update={"max_response_tokens": 7})
    assert spec_of(config, training=short).key() != same.key()
    # which runs there are, and how often their states are written
    states = config.training.model_copy(update={"checkpoint_every": 1, "train_seeds": [0, 1], "learning_rates": [0.1]})
    assert spec_of(config, training=states).key() == same.key()


def test_changing_the_number_of_ranks_starts_a_new_run(config: Config) -> None:
    """Each rank draws its own random numbers, so two ranks must not continue the state of one."""
    same = spec_of(config)
    assert replace(same, hardware=Hardware(processes=2, zero=2)).key() != same.key()


def test_curves_and_decoded_rows_decide_a_run(config: Config) -> None:
    """Both change the random numbers of a response, so a state must not continue under other values."""
    same = spec_of(config)
    smaller = config.evaluation.model_copy(update={"batch": 2})
    suites = {"main": config.evaluation.suites["main"].model_copy(update={"benchmarks": ["chain-3"]})}
    fewer = config.evaluation.model_copy(update={"suites": suites})
    assert len({same.key(), spec_of(config, evaluation=smaller).key(), spec_of(config, evaluation=fewer).key()}) == 3


def test_settings_are_all_fields(config: Config) -> None:
    """A field that is added later is recorded without further code."""
    settings = replace(spec_of(config), hardware=Hardware(zero=1)).settings()
    assert list(settings) == [field.name for field in fields(RunSpec)]
    assert spec_of(config).settings().keys() == settings.keys() - {"hardware"}  # the default one is not named
    assert settings["prompts"] == config.prompts and settings["steps"] == 3


def test_rules_see_the_settings_without_what_files_hold(config: Config) -> None:
    """The same for every seed and rate of a model and method; the base model has settings of its own."""
    wanted = {name: value for name, value in spec_of(config).settings().items() if name not in OUTSIDE_SETTINGS}
    assert settings_of(config, "qwen2-s", "intro") == wanted
    assert settings_of(config, "qwen2-s", "base") == wanted | {"method": None}
    grpo = settings_of(config, "qwen2-s", "grpo")
    prompts = config.prompts | {"other": "{question} {answer}"}
    methods = config.methods | {"intro": config.methods["intro"].model_copy(update={"prompt": "other"})}
    changed = config.model_copy(update={"prompts": prompts, "methods": methods})
    assert settings_of(changed, "qwen2-s", "grpo") == grpo and settings_of(changed, "qwen2-s", "intro") != wanted


def test_planning_imports_no_torch() -> None:
    code = "import sys, intro.training.run_spec; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
