"""The experiment list: every evaluation is in one job, and on GPUs a job has one suite."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from intro.config import load
from intro.experiments import Cell, base_folder, evaluation_jobs, evaluations, sweep_base_folder, training_runs

CONFIG = Path(__file__).resolve().parents[1] / "config"


@pytest.mark.parametrize("name", ["tiny", "reference", "smoke", "rehearsal", "paper", "llama"])
def test_every_evaluation_is_in_one_process(name: str) -> None:
    config = load(CONFIG / f"{name}.yaml")
    made = Counter(
        (cell, suite) for suites, cells in evaluation_jobs(config).items() for cell in cells for suite in suites
    )
    assert made == Counter(evaluations(config))


def test_a_checkpoint_on_cpus_has_one_process_and_one_on_gpus_one_per_suite() -> None:
    """Starting a process takes longer than a suite of the tiny world; a suite of the paper takes hours."""
    tiny, paper = load(CONFIG / "tiny.yaml"), load(CONFIG / "paper.yaml")
    processes = Counter(cell for cells in evaluation_jobs(tiny).values() for cell in cells)
    assert set(processes.values()) == {1}
    assert ("main", "ood", "answer_in_prompt") in evaluation_jobs(tiny)
    assert set(evaluation_jobs(paper)) == {("main",), ("ood",), ("answer_in_prompt",)}


def test_every_training_seed_has_a_base_model_that_is_evaluated() -> None:
    """A method is compared with the base model that its run started from, which must be evaluated too."""
    config = load(CONFIG / "reference.yaml")
    answered = {cell for cell, suite in evaluations(config) if suite == "main"}
    for cell in training_runs(config):
        assert cell.pretraining_seed(config) == cell.seed
        assert Cell(cell.model, "base", "base", cell.seed) in answered
        assert cell.base_folder(config) == base_folder(config, cell.model, cell.seed) != cell.weights_folder(config)
    assert sweep_base_folder(config, "qwen2-s") == base_folder(config, "qwen2-s") == base_folder(config, "qwen2-s", 0)


def test_training_seeds_take_fewer_base_models_in_turn() -> None:
    config = load(CONFIG / "reference.yaml")
    config = config.model_copy(update={"pretraining": config.pretraining.model_copy(update={"seeds": [7, 9]})})
    found = [Cell("qwen2-s", "intro", "paper", seed).pretraining_seed(config) for seed in (0, 1, 2)]
    assert found == [7, 9, 7]
    bases = [cell.seed for cell, suite in evaluations(config) if suite == "main" and cell.model == "qwen2-s"]
    assert bases[:2] == [7, 9] and base_folder(config, "qwen2-s").name == "seed7"


def test_of_a_published_checkpoint_there_is_one_base_model() -> None:
    config = load(CONFIG / "paper.yaml")
    model = next(iter(config.models))
    cell = Cell(model, "intro", "paper", 2)
    assert cell.pretraining_seed(config) == 0 and cell.base_folder(config) == base_folder(config, model)
    assert base_folder(config, model).name == model
