"""The DAG: it is lint-clean, every config plans, the smoke run makes everything once, and a change re-runs its share.

The workflow runs in a copy of the working tree, so that a user's own run and its lock are left alone.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.scheduling import job_scheduler

ROOT = Path(__file__).resolve().parents[1]
COPIED = ["Snakefile", "environment.yml", "pyproject.toml", "constraints.txt", "workflow", "config", "profiles", "src"]
# the tools of the environment that runs the tests, whether or not it is activated
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def tool(folder: Path, *command: str, ok: bool = True) -> str:
    """Run a command there; its output, stdout and stderr together."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, text[-4000:]
    return text


def snakemake(folder: Path, config: str, *more: str, ok: bool = True) -> str:
    # targets come first: the config option would take them for more files
    return tool(folder, "snakemake", *more, "--cores", "2", "--configfile", f"config/{config}.yaml", ok=ok)


PAPER_MODELS = ["Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen2.5-7B", "Qwen3-4B", "Qwen3-8B"]


def planned(text: str) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    lines = text.split("Job stats:")[-1].splitlines() if "Job stats:" in text else []
    counts = [line.split() for line in lines]
    return {words[0]: int(words[1]) for words in counts if len(words) == 2 and words[1].isdigit()}


def evaluated(jobs: dict[str, int], verb: str = "generate") -> int:
    """Jobs of the rules of that kind: there is one rule for each set of suites that share a process."""
    return sum(count for rule, count in jobs.items() if rule.startswith(f"{verb}_"))


def copy_tree(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder)
    return folder


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def smoke(tree: Path) -> Path:
    """The tree after one whole smoke run."""
    snakemake(tree, "smoke")
    return tree


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
    if not jobs:  # the smoke run may already be whole
        pytest.skip("nothing left to plan: this config was run before in this session")
    assert jobs["train_policy"] == len(experiments.training_runs(wanted))
    checkpoints = {cell for cell, _ in experiments.evaluations(wanted)}
    together = not any(model.hardware.gpus for model in wanted.models.values())
    processes = len(checkpoints) if together else len(experiments.evaluations(wanted))
    assert evaluated(jobs) == evaluated(jobs, "grade") == processes


needs_slurm = pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_slurm") is None,
    reason="needs Snakemake's SLURM plugin, which `make test` and `pip install -e '.[slurm]'` install",
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


@pytest.mark.pipeline
def test_smoke_run_makes_every_table_and_figure(smoke: Path) -> None:
    """From nothing to the report in one command."""
    results, figures = smoke / "results/smoke", smoke / "figures/smoke"
    for name in ("main", "ood", "ablation_n", "controls"):
        for ending in ("csv", "md", "tex"):
            assert (results / "tables" / f"{name}.{ending}").stat().st_size > 0
    assert len(list(figures.glob("*.png"))) == len(list(figures.glob("*.pdf"))) == 11
    assert (results / "report.html").stat().st_size > 100_000  # its figures are inside
    main = pd.read_csv(results / "tables/main.csv")
    assert set(main.model) == {"qwen2-s", "qwen3-m"} and main.average.notna().all()
    claims = pd.read_csv(results / "claims.csv")
    allowed = {"reproduced", "contradicted", "inconclusive", "depends on learning rate", "not tested"}
    assert set(claims.verdict) <= allowed


@pytest.mark.pipeline
def test_tables_and_figures_of_their_own_runs_are_those_of_all_runs(
    smoke: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is made from the runs that it shows; what `collect` gathered from all of them gives the same bytes."""
    from intro import experiments
    from intro.analysis.data.inputs import Inputs
    from intro.analysis.figures.build import figure
    from intro.analysis.tables import build as tables
    from intro.config import load
    from intro.sources import FIGURES

    monkeypatch.chdir(smoke)
    config = load("config/smoke.yaml")
    for name in experiments.table_names(config):
        files = [config.results_dir / "tables" / f"{name}.{ending}" for ending in ("csv", "md", "tex")]
        before = [file.read_text() for file in files]
        assert [file.read_text() for file in tables.table(config, name, Inputs(config))] == before
        assert [file.read_text() for file in tables.table(config, name)] == before
    for name in FIGURES:
        before = (config.figures_dir / f"{name}.png").read_bytes()
        for inputs in (Inputs(config), None):
            figure(config, name, inputs)
            assert (config.figures_dir / f"{name}.png").read_bytes() == before


@pytest.mark.pipeline
def test_models_are_ordinary_hugging_face_folders(smoke: Path) -> None:
    """AutoModelForCausalLM and AutoTokenizer load a base and a trained model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for folder in ("models/qwen3-m/seed0", "runs/qwen3-m/intro/paper/seed0/final"):
        path = smoke / "results/smoke" / folder
        model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
        ids = tokenizer("3 + 4 :", return_tensors="pt").input_ids
        assert model(ids).logits.shape == (1, 4, model.config.vocab_size)
        assert tokenizer.decode(ids[0]) == "3 + 4 :"


@pytest.mark.pipeline
def test_second_run_does_nothing(smoke: Path) -> None:
    assert "Nothing to be done" in snakemake(smoke, "smoke")


@pytest.mark.pipeline
def test_trace_walks_from_a_cell_to_its_origins(smoke: Path) -> None:
    shown = tool(smoke, "intro", "trace", "main", "Qwen3-4B", "intro", "math500", "-c", "config/smoke.yaml")
    cell = pd.read_csv(smoke / "results/smoke/tables/main.csv").set_index(["model", "method"])
    assert f"{cell.loc[('qwen3-m', 'intro'), 'chain-2']:.1f}" in shown
    for word in ("generations.jsonl", "checkpoint", "base model", "problems", "config", "commit", "versions"):
        assert word in shown


@pytest.mark.pipeline
def test_changing_one_method_re_runs_what_depends_on_it(smoke: Path) -> None:
    """An option of one control retrains that control alone; its scores then flow into tables and report."""
    path = smoke / "config/smoke.yaml"
    kept = path.read_text()
    changed = yaml.safe_load(kept)
    changed["controls"]["methods"]["intro-frozen"]["clip"] = 7.0
    try:
        path.write_text(yaml.safe_dump(changed))
        jobs = planned(snakemake(smoke, "smoke", "--dry-run", "--quiet", "rules"))
    finally:
        path.write_text(kept)
    assert jobs["train_policy"] == evaluated(jobs) == evaluated(jobs, "grade") == 1
    assert "pretrain_base" not in jobs and "sweep_learning_rates" not in jobs and jobs["collect_results"] == 1


@pytest.mark.pipeline
def test_changing_a_swept_method_leaves_the_others_alone(smoke: Path) -> None:
    """GRPO's option changes GRPO's grid; while the shared rate stays, no other method is trained again."""
    path = smoke / "config/smoke.yaml"
    kept = path.read_text()
    changed = yaml.safe_load(kept)
    changed["methods"]["grpo"] = {"epsilon": 2.0e-4}
    runs = smoke / "results/smoke/runs/qwen2-s"
    records = {method: runs / method / "paper/seed0/record.json" for method in ("intro", "grpo")}
    rate = json.loads((smoke / "results/smoke/learning_rates.json").read_text())["paper"]
    before = {method: path.stat().st_mtime_ns for method, path in records.items()}
    try:
        path.write_text(yaml.safe_dump(changed))
        text = snakemake(smoke, "smoke", *(str(p.relative_to(smoke)) for p in records.values()))
        assert json.loads((smoke / "results/smoke/learning_rates.json").read_text())["paper"] == rate
        assert records["intro"].stat().st_mtime_ns == before["intro"], text[-3000:]
        assert records["grpo"].stat().st_mtime_ns > before["grpo"], text[-3000:]
    finally:
        path.write_text(kept)


@pytest.mark.pipeline
def test_snakemake_report_holds_captions(smoke: Path) -> None:
    """`snakemake --report` works offline and shows the captions."""
    snakemake(smoke, "smoke", "--report", "report.html")
    assert "learning rate" in (smoke / "report.html").read_text().lower()


@pytest.mark.pipeline
def test_records_beside_results_say_where_they_came_from(smoke: Path) -> None:
    """Commit, versions, config hash, seed, hardware and wall time are beside every result."""
    records = [p for p in (smoke / "results/smoke").rglob("*record.json") if ".scratch" not in p.parts]
    assert len(records) > 20
    for path in records:
        record = json.loads(path.read_text())
        assert {"commit", "versions", "config_hash", "seed", "hardware", "wall_seconds", "command"} <= set(record), path
