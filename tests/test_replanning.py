"""What a change of code or config plans, after a run that a stub has finished."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from snake import ENVIRONMENT, copy_tree, evaluated, planned, snakemake

# stands for every command of a run: it makes all files that are missing, empty but for the learning rates
STUB = """#!/bin/sh
while read -r name; do
  [ -e "$name" ] && continue
  mkdir -p "${name%/*}"
  case "${name##*/}" in
    learning_rates.json) echo '{"paper": {"learning_rate": 1e-4, "steps": 1}, "tuned": {}}' > "$name" ;;
    *.*) : > "$name" ;;
    *) mkdir "$name" ;;
  esac
done < outputs.txt
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree whose smoke run is finished as far as Snakemake knows; nothing was computed.

    Learning rates are not swept, by the config line that keeps a method's options from changing another method's runs.
    """
    folder = copy_tree(tmp_path_factory.mktemp("finished"))
    config = folder / "config/smoke.yaml"
    given = yaml.safe_load(config.read_text())
    given["training"] |= ONE_RATE
    config.write_text(yaml.safe_dump(given))
    (folder / "outputs.txt").write_text("\n".join(outputs(snakemake(folder, "smoke", "--dry-run"))) + "\n")
    stub = folder / "bin/intro"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    command = ["snakemake", "--cores", "2", "--configfile", "config/smoke.yaml"]
    environment = {**of_tree(folder), "PATH": f"{stub.parent}{os.pathsep}{ENVIRONMENT['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def of_tree(folder: Path) -> dict[str, str]:
    """The environment in which the code of a tree is imported, and not the installed code."""
    return {**ENVIRONMENT, "PYTHONPATH": str(folder / "src")}


ONE_RATE = {"sweep_models": [], "learning_rates": [1.0e-4]}


def outputs(plan: str) -> list[str]:
    """The files and folders that the jobs of a dry run would make."""
    lines = [line.strip().removeprefix("output: ") for line in plan.splitlines() if line.startswith("    output: ")]
    return [re.sub(r" \(.*\)$", "", name) for line in lines for name in line.split(", ")]


def plan(folder: Path, *more: str) -> dict[str, int]:
    """What a start with the code of this tree would run."""
    command = ["snakemake", "--dry-run", "--quiet", "rules", "--cores", "2", "--configfile", "config/smoke.yaml"]
    done = subprocess.run([*command, *more], cwd=folder, env=of_tree(folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return planned(done.stdout + done.stderr)


@contextmanager
def edited(file: Path, change: Callable[[str], str]) -> Iterator[None]:
    kept = file.read_text()
    assert change(kept) != kept
    file.write_text(change(kept))
    try:
        yield
    finally:
        file.write_text(kept)


def trained_runs(config: str, method: str) -> int:
    from intro import experiments
    from intro.config import load

    return sum(cell.method == method for cell in experiments.training_runs(load(config)))


def test_comments_and_docstrings_plan_no_job(finished: Path) -> None:
    with ExitStack() as edits:
        for name in (
            "objectives/intro.py",
            "training/loop.py",
            "tasks/graders/mathematics.py",
            "analysis/figures/build.py",
        ):
            edits.enter_context(edited(finished / "src/intro" / name, comment))
        assert plan(finished) == {}


def comment(text: str) -> str:
    """Another docstring of the module, and comments."""
    return text.replace('"""', '"""Edited. ', 1).replace("\n\n\n", "\n\n\n# edited\n") + "\n# edited\n"


def code(text: str) -> str:
    return text + "\nEDITED = 1\n"


def test_code_of_one_method_plans_its_runs_and_what_follows(finished: Path) -> None:
    runs = trained_runs(finished / "config/smoke.yaml", "grpo")
    with edited(finished / "src/intro/objectives/grpo.py", code):
        jobs = plan(finished)
    assert jobs["train_policy"] == evaluated(jobs) == evaluated(jobs, "grade") == runs
    assert not {"make_data", "pretrain_base", "table_ablation_n", "figure_posterior"} & set(jobs)
    assert {"table_main", "figure_length", "collect_results", "compare", "report"} <= set(jobs)


def test_code_of_a_grader_plans_grading_and_what_follows(finished: Path) -> None:
    with edited(finished / "src/intro/tasks/graders/mathematics.py", code):
        jobs = plan(finished)
    assert evaluated(jobs, "grade") > 0 and {"table_main", "compare", "report"} <= set(jobs)
    assert not evaluated(jobs) and not {"make_data", "pretrain_base", "train_policy"} & set(jobs)


def test_an_option_of_a_method_plans_its_runs_where_rates_are_not_swept(finished: Path) -> None:
    """With a sweep, an option of a swept method can move the shared rate, and then every run is planned."""
    jobs = plan(finished, "--config", 'methods={"grpo": {"epsilon": 2.0e-4}}')
    assert jobs["train_policy"] == evaluated(jobs) == trained_runs(finished / "config/smoke.yaml", "grpo")
    assert "select_learning_rates" not in jobs and "pretrain_base" not in jobs
