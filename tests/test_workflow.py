"""The DAG: it is lint-clean, every config plans, a target needs its own runs, and planning writes nothing."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from snakemake.scheduling import job_scheduler

from snake import ENVIRONMENT, copy_tree, evaluated, planned, snakemake, tool

PAPER_MODELS = ["Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen2.5-7B", "Qwen3-4B", "Qwen3-8B"]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("tree"))


def test_workflow_files_are_formatted(tree: Path) -> None:
    tool(tree, "snakefmt", "--check", "Snakefile", "workflow")


def test_snakemake_still_has_what_the_workflow_turns_off() -> None:
    """The Snakefile's `onstart` sets an attribute; under another name it would change nothing and say nothing."""
    assert "if self.job_rate_limiter is None" in inspect.getsource(job_scheduler)


def test_workflow_is_lint_clean(tree: Path) -> None:
    """Snakemake's own lint finds nothing to say."""
    assert "Congratulations" in tool(tree, "snakemake", "--lint")


@pytest.mark.parametrize("config", ["tiny", "reference", "smoke", "paper", "llama", "rehearsal"])
def test_every_config_plans_its_whole_dag(tree: Path, config: str) -> None:
    """Each config has a training job per cell that it asks for; asking again for less would lose table rows."""
    from intro import experiments
    from intro.config import load

    wanted = load(tree / "config" / f"{config}.yaml")
    jobs = planned(snakemake(tree, config, "--dry-run", "--quiet", "rules"))
    assert jobs["train_policy"] == len(experiments.training_runs(wanted))
    checkpoints = {cell for cell, _ in experiments.evaluations(wanted)}
    together = not any(model.hardware.gpus for model in wanted.models.values())
    processes = len(checkpoints) if together else len(experiments.evaluations(wanted))
    assert evaluated(jobs) == evaluated(jobs, "grade") == processes


needs_slurm = pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_slurm") is None,
    reason="needs Snakemake's SLURM plugin: `make test` or `pip install -c constraints.txt -e '.[slurm]'` installs it",
)


@pytest.mark.parametrize("profile", ["a100", pytest.param("slurm", marks=needs_slurm)])
def test_profiles_list_every_cell_of_the_papers_tables(tree: Path, profile: str) -> None:
    """Planning needs neither GPU nor SLURM, and names no tiny model.

    Table 1 is 5 models x (base and 6 methods), Table 2 is 3 x 3, Table 3 has 6 values of n, one of them Table 1's.
    """
    text = snakemake(tree, "paper", "--dry-run", "--profile", f"profiles/{profile}")
    jobs = planned(text)
    assert jobs["train_policy"] == 5 * 6 + 5 and jobs["fetch_model"] == 5
    assert evaluated(jobs) == evaluated(jobs, "grade") == 5 * 7 + 3 * 3 + 5 + 2  # 2: the answer in the prompt
    wanted = {(m, t) for m in PAPER_MODELS for t in ("base", "sft", "latro", "raft++", "gpg", "grpo", "intro")}
    wanted |= {("Qwen2.5-1.5B", f"intro-n{n}") for n in (1, 2, 10, 20, 40)}
    main = set(re.findall(r"results/paper/runs/([^/]+)/([^/]+)/(?:base|paper)/seed0/main/grades\.jsonl", text))
    out = set(re.findall(r"results/paper/runs/([^/]+)/([^/]+)/(?:base|paper)/seed0/ood/grades\.jsonl", text))
    assert main == wanted
    assert out == {(m, t) for m in ("Qwen2.5-7B", "Qwen3-4B", "Qwen3-8B") for t in ("base", "grpo", "intro")}
    assert "results/tiny" not in text and "qwen2-s" not in text


def profile_of(tree: Path, name: str) -> dict:
    return yaml.safe_load((tree / f"profiles/{name}/config.yaml").read_text())


def test_profiles_say_where_to_run_and_never_what(tree: Path) -> None:
    profiles = [folder.name for folder in (tree / "profiles").iterdir()]
    assert {"default", "a100", "slurm"} <= set(profiles)
    for name in profiles:
        assert not {"config", "configfile", "configfiles", "snakefile"} & set(profile_of(tree, name))


@needs_slurm
def test_profiles_set_what_there_is(tree: Path) -> None:
    """A profile names rules of the paper's DAG only, and each that generates or grades: a GPU, and enough cores."""
    text = snakemake(tree, "paper", "--dry-run", "--profile", "profiles/slurm", "--quiet", "rules")
    rules = set(planned(text))
    evaluating = {rule for rule in rules if rule.startswith(("generate_", "grade_"))}
    slurm, a100 = (profile_of(tree, name) for name in ("slurm", "a100"))
    threads = {rule.split("=")[0] for rule in a100["set-threads"]}
    assert evaluating <= set(slurm["set-resources"]) <= rules | {"sweep_learning_rates"}
    assert threads == set(slurm["set-threads"]) == {rule for rule in evaluating if rule.startswith("grade_")}
    gpu = {rule for rule, given in slurm["set-resources"].items() if given.get("slurm_partition") == "gpu"}
    assert gpu & evaluating == {rule for rule in evaluating if rule.startswith("generate_")}


CELL = "results/paper/runs/Qwen3-4B/intro/paper/seed0"


@pytest.mark.parametrize(
    "target, trained, generated",
    [
        ("table_main_base", 0, {"main": 5}),  # the base check trains nothing
        ("model_Qwen3-4B", 6, {"main": 7, "ood": 3}),
        (f"{CELL}/main/score.json", 1, {"main": 1}),  # a suite takes hours: none is generated beside it
        (f"{CELL}/ood/score.json", 1, {"ood": 1}),
        ("table_main", 5 * 6, {"main": 5 * 7}),
        ("table_ood", 3 * 2, {"ood": 3 * 3}),
        ("table_ablation_n", 6, {"main": 6}),  # Table 3 is one model at six n
        ("figure_length", 5 * 2, {"main": 5 * 3}),  # Fig. 3 is the base models, GRPO and InTRO
        ("figure_dynamics", 2, {}),
        ("figure_cost", 0, {}),
    ],
)
def test_a_target_needs_the_runs_that_it_shows(
    tree: Path, target: str, trained: int, generated: dict[str, int]
) -> None:
    """Asking for one table, figure, model or cell of the paper never pays for another's."""
    text = snakemake(tree, "paper", target, "--dry-run", "--profile", "profiles/a100", "--quiet", "rules")
    jobs = planned(text)
    found = {rule.removeprefix("generate_"): count for rule, count in jobs.items() if rule.startswith("generate_")}
    assert jobs.get("train_policy", 0) == trained and found == generated


def test_named_targets_exist(tree: Path) -> None:
    """Each table and figure, and every other part, can be asked for by name."""
    from intro.sources import FIGURES

    targets = ["table_main", "table_ood", "table_ablation_n", "figures", *(f"figure_{name}" for name in FIGURES)]
    targets += ["theory", "compare", "report"]
    jobs = planned(snakemake(tree, "tiny", *targets, "--dry-run", "--quiet", "rules"))
    assert set(targets) <= set(jobs)


def test_other_scales_results_are_refused(tree: Path) -> None:
    """A config makes results of its own scale only, and says so without a traceback."""
    text = snakemake(tree, "tiny", "--dry-run", "results/paper/tables/main.csv", ok=False)
    assert "results/paper/tables/main.csv" in text and "Traceback" not in text


def test_unknown_config_key_is_one_sentence(tree: Path) -> None:
    text = snakemake(tree, "tiny", "--dry-run", "--config", "learning=3", ok=False)
    assert "unknown key 'learning'" in text and "Traceback" not in text


def files(folder: Path) -> dict[str, bytes]:
    """Every file's content, except Snakemake's own and compiled Python."""
    found = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return {str(p): (folder / p).read_bytes() for p in found if not {".snakemake", "__pycache__"} & set(p.parts)}


def seeds(found: dict[str, bytes]) -> list[int]:
    """The seeds of the configs that starts have written for their jobs; each start has a file of its own."""
    configs = [text for name, text in found.items() if name.startswith("results/smoke/config-")]
    return sorted(yaml.safe_load(text)["seed"] for text in configs)


def test_planning_writes_nothing(tmp_path: Path) -> None:
    """Neither before the first run nor, with other settings, after one; a run writes the settings."""
    copy_tree(tmp_path)
    target = "results/smoke/problems/train.jsonl"
    before = files(tmp_path)
    for option in ("--dry-run", "--lint", "--summary", "--unlock"):
        snakemake(tmp_path, "smoke", option)
    snakemake(tmp_path, "smoke", "--report", "report.html", ok=False)  # there is nothing to report on yet
    assert files(tmp_path) == before and not (tmp_path / "results").exists()
    snakemake(tmp_path, "smoke", target)
    before = files(tmp_path)
    assert seeds(before) == [0]
    for option in ("--dry-run", "--lint", "--summary"):
        snakemake(tmp_path, "smoke", option, "--config", "seed=1")
    assert files(tmp_path) == before
    snakemake(tmp_path, "smoke", target, "--config", "seed=1")
    assert seeds(files(tmp_path)) == [0, 1]


def test_refused_start_leaves_the_settings_of_running_jobs(tmp_path: Path) -> None:
    """While one run holds Snakemake's lock, a start with other settings is refused and changes no file."""
    copy_tree(tmp_path)
    # a job that waits until the test lets it go on, and reads its settings only then
    slow, started, proceed = tmp_path / "bin/intro", tmp_path / "started", tmp_path / "proceed"
    slow.parent.mkdir()
    slow.write_text(
        f"#!/bin/sh\ntouch '{started}'\nwhile [ ! -e '{proceed}' ]; do sleep 0.1; done\n"
        f"exec '{shutil.which('intro', path=ENVIRONMENT['PATH'])}' \"$@\"\n"
    )
    slow.chmod(0o755)
    target = "results/smoke/problems/train.jsonl"
    first = subprocess.Popen(
        ["snakemake", target, "--cores", "1", "--configfile", "config/smoke.yaml"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PATH": f"{slow.parent}{os.pathsep}{ENVIRONMENT['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not started.exists():
            assert first.poll() is None, "the first run ended before its job started"
            time.sleep(0.1)
        before = files(tmp_path)
        assert seeds(before) == [0]
        assert "cannot be locked" in snakemake(tmp_path, "smoke", target, "--config", "seed=1", ok=False)
        snakemake(tmp_path, "smoke", "--dry-run", target, "--config", "seed=1")
        assert files(tmp_path) == before
    finally:
        proceed.touch()
        assert first.wait(timeout=120) == 0
    assert json.loads((tmp_path / "results/smoke/problems/record.json").read_text())["seed"] == 0
