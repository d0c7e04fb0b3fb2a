"""Two methods are added by the steps of docs/adding-a-method.md; a small DAG runs with them to tables and figures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ["Snakefile", "environment.yml", "pyproject.toml", "workflow", "config", "profiles", "src"]
# the smallest DAG with a row per method: one model, one learning rate, no further suites
CONFIG = """
extends: smoke.yaml
scale: added
models: {qwen3-m: null}
training: {learning_rates: [3.0e-4], sweep_models: []}
methods:
  raft++: null
  grpo: null
  dr-grpo: {objective: dr-grpo, label: Dr. GRPO}
  upft: {objective: upft, label: UPFT, prefix: 6}
baseline: dr-grpo
ablation_n: {grid: [5]}
controls: {methods: {intro-frozen: null}}
evaluation: {suites: {ood: null, answer_in_prompt: null}}
cost: {methods: [sft, dr-grpo, upft]}
"""
METHODS = ["base", "sft", "intro", "dr-grpo", "upft"]


def run(folder: Path, *command: str) -> str:
    """A command there, with the copied sources in place of the installed ones; its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project after the two steps: one file for each method, one entry for each in a config."""
    folder = tmp_path_factory.mktemp("added")
    for name in COPIED:
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy(source, folder)
    for file in ("dr_grpo.py", "upft.py"):
        shutil.copy(ROOT / "tests/support/methods" / file, folder / "src/intro/objectives")
    (folder / "config/added.yaml").write_text(CONFIG)
    return folder


def test_the_config_knows_the_methods_and_figures_tell_them_apart(tree: Path) -> None:
    code = (
        "import json; from intro.config import load; from intro.analysis.figures.style import colours; "
        "config = load('config/added.yaml'); print(json.dumps(colours(config.all_methods)))"
    )
    colours = json.loads(run(tree, sys.executable, "-c", code))
    assert set(colours) == set(METHODS) - {"base"} and len(set(colours.values())) == len(colours)
    assert "prefix" in run(tree, "intro", "schema")


@pytest.mark.pipeline
def test_tables_figures_and_the_cost_estimate_have_the_methods(tree: Path) -> None:
    targets = ["table_main", "figure_training_length", "figure_length", "figure_cost"]
    run(tree, "snakemake", *targets, "--cores", "2", "--configfile", "config/added.yaml")
    main = pd.read_csv(tree / "results/added/tables/main.csv")
    assert list(main.method) == METHODS and main.average.notna().all()
    text = (tree / "results/added/tables/main.md").read_text()
    assert "Dr. GRPO" in text and "UPFT" in text
    passes = pd.read_csv(tree / "results/added/cost.csv").set_index("method").forward_passes
    assert passes.to_dict() == {"sft": 1, "dr-grpo": 1.5, "upft": 1}
    for name in ("training_length", "length", "cost"):
        assert (tree / f"figures/added/{name}.png").stat().st_size > 1000
