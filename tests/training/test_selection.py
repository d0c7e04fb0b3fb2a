"""Learning rates: the shared one favours no method, ties go to the smaller rate, and only validation grades count."""

from __future__ import annotations

import json

import pytest

from intro.experiments import grid_file
from intro.tasks.jsonl import write_jsonl
from intro.training.selection import GRID_KEYS, choose, learning_rate, select
from intro.types import IntroError


def test_shared_rate_is_over_all_methods() -> None:
    """0.1 is best for b but not on average: (70 + 10)/2 < (50 + 40)/2."""
    values = {
        ("m", "a", 0.01): 50.0, ("m", "a", 0.1): 10.0,
        ("m", "b", 0.01): 40.0, ("m", "b", 0.1): 70.0,
    }  # fmt: skip
    assert choose(values) == (0.01, {"a": 0.01, "b": 0.1})


def test_models_are_averaged() -> None:
    values = {("m", "a", 0.01): 0.0, ("k", "a", 0.01): 60.0, ("m", "a", 0.1): 50.0, ("k", "a", 0.1): 20.0}
    assert choose(values) == (0.1, {"a": 0.1})


def test_ties_go_to_the_smaller_rate() -> None:
    for order in ((0.3, 0.01, 0.1), (0.01, 0.1, 0.3)):
        assert choose({("m", "a", lr): 33.0 for lr in order}) == (0.01, {"a": 0.01})


def grades(config, method: str, correct: dict[float, list[int]]) -> None:
    lines = [
        dict(zip(GRID_KEYS, ("qwen2-s", method, lr, 0, "chain-2", f"p{i}", c, 9), strict=True))
        for lr, values in correct.items()
        for i, c in enumerate(values)
    ]
    write_jsonl(grid_file(config, "qwen2-s", method), lines)


def test_select_reads_the_grid_and_learning_rate_reads_it_back(toy_config) -> None:
    grades(toy_config, "sft", {0.001: [1, 0], 0.003: [0, 0]})
    grades(toy_config, "grpo", {0.001: [1, 1], 0.003: [0, 1]})
    grades(toy_config, "intro", {0.001: [0, 1], 0.003: [1, 1]})
    select(toy_config)
    written = json.loads((toy_config.results_dir / "learning_rates.json").read_text())
    assert written["paper"] == {"learning_rate": 0.001, "steps": 3}  # 12 problems by 4
    assert written["tuned"] == {"sft": 0.001, "grpo": 0.001, "intro": 0.003}
    assert learning_rate(toy_config, "intro", "paper") == 0.001
    assert learning_rate(toy_config, "intro", "tuned") == 0.003
    assert learning_rate(toy_config, "intro-n1", "paper") == 0.001
    with pytest.raises(IntroError, match="no learning rate for method 'intro-n1'"):
        learning_rate(toy_config, "intro-n1", "tuned")


def test_missing_or_damaged_grid_raises_a_clear_error(toy_config) -> None:
    with pytest.raises(IntroError, match="intro select"):
        learning_rate(toy_config, "intro", "paper")
    with pytest.raises(IntroError, match=r"sft\.jsonl: no such file; run `intro sweep`"):
        select(toy_config)
    file = grid_file(toy_config, "qwen2-s", "sft")
    grades(toy_config, "sft", {0.001: [1]})
    file.write_text(file.read_text() + '{"model": "qwen2-s"}\n')
    with pytest.raises(IntroError, match=r"sft\.jsonl: line 2 lacks "):
        select(toy_config)
