"""What tables and figures are made from: one figure never asks for the runs of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from intro.config import load
from intro.experiments import table_names
from intro.sources import FIGURES, figure_sources, table_sources
from intro.types import IntroError

CONFIG = Path(__file__).resolve().parents[1] / "config"
TINY, PAPER = load(CONFIG / "tiny.yaml"), load(CONFIG / "paper.yaml")


def test_figure_3_needs_base_grpo_and_intro_on_the_main_suite() -> None:
    asked = figure_sources(PAPER, "length").evaluations
    assert {(cell.model, cell.method) for cell, _ in asked} == {
        (model, method) for model in PAPER.models for method in ("base", "grpo", "intro")
    }
    assert {suite for _, suite in asked} == {"main"} and {cell.protocol for cell, _ in asked} == {"base", "paper"}


@pytest.mark.parametrize("name", ["training_length", "training_accuracy", "dynamics", "entropy_n"])
def test_figures_of_training_need_no_evaluation(name: str) -> None:
    needed = figure_sources(TINY, name)
    assert not needed.evaluations and (needed.curves or needed.metrics)
    assert {cell.protocol for cell in [*needed.curves, *needed.metrics]} == {"paper"}


def test_figure_5_shows_the_two_models_that_stand_for_the_papers() -> None:
    cells = figure_sources(TINY, "training_accuracy").curves
    assert {TINY.models[cell.model].stands_for for cell in cells} == {"Qwen2.5-7B", "Qwen3-4B"}


def test_figure_6_needs_base_models_and_what_the_judge_read() -> None:
    needed = figure_sources(PAPER, "answer_conditioning")
    assert {suite for _, suite in needed.evaluations} == {"main", "answer_in_prompt"}
    assert {cell.method for cell, _ in needed.evaluations} == {"base"}
    assert PAPER.verifier and needed.judged == needed.evaluations
    assert not figure_sources(TINY, "answer_conditioning").judged


@pytest.mark.parametrize("name", ["posterior", "cost"])
def test_a_measurement_is_one_file(name: str) -> None:
    assert figure_sources(TINY, name).files(TINY) == [TINY.results_dir / f"{name}.csv"]


def test_only_the_table_of_n_needs_metrics() -> None:
    assert [name for name in table_names(TINY) if table_sources(TINY, name).metrics] == ["ablation_n"]


def test_no_table_waits_for_the_judge() -> None:
    """What the judge reads enters Fig. 6 and its claims; the tables show correct responses."""
    assert not any(table_sources(PAPER, name).judged for name in table_names(PAPER))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_names_files(name: str) -> None:
    files = figure_sources(TINY, name).files(TINY)
    assert files and len(files) == len(set(files))


def test_an_unknown_figure_is_an_error() -> None:
    with pytest.raises(IntroError, match="there is no figure 'cake'; known are overview, "):
        figure_sources(TINY, "cake")
