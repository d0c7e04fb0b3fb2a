"""One smoke run makes everything, and a change re-runs its share. All tests share the run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from snake import copy_tree, evaluated, planned, snakemake, tool

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree after one whole smoke run."""
    tree = copy_tree(tmp_path_factory.mktemp("smoke"))
    snakemake(tree, "smoke")
    return tree


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


def test_models_are_ordinary_hugging_face_folders(smoke: Path) -> None:
    """AutoModelForCausalLM and AutoTokenizer load a base and a trained model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for folder in ("models/qwen3-m/seed0", "runs/qwen3-m/intro/paper/seed0/final"):
        path = smoke / "results/smoke" / folder
        model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
        ids = tokenizer("3 + 4 :", return_tensors="pt").input_ids
        assert model(ids).logits.shape == (1, 4, model.config.vocab_size)
        assert tokenizer.decode(ids[0]) == "3 + 4 :"


def test_second_run_does_nothing(smoke: Path) -> None:
    assert "Nothing to be done" in snakemake(smoke, "smoke")


def test_trace_walks_from_a_cell_to_its_origins(smoke: Path) -> None:
    shown = tool(smoke, "intro", "trace", "main", "Qwen3-4B", "intro", "math500", "-c", "config/smoke.yaml")
    cell = pd.read_csv(smoke / "results/smoke/tables/main.csv").set_index(["model", "method"])
    assert f"{cell.loc[('qwen3-m', 'intro'), 'chain-2']:.1f}" in shown
    for word in ("generations.jsonl", "checkpoint", "base model", "problems", "config", "commit", "versions"):
        assert word in shown


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


def test_snakemake_report_holds_captions(smoke: Path) -> None:
    """`snakemake --report` works offline and shows the captions."""
    snakemake(smoke, "smoke", "--report", "report.html")
    assert "learning rate" in (smoke / "report.html").read_text().lower()


def test_records_beside_results_say_where_they_came_from(smoke: Path) -> None:
    """Commit, versions, config hash, seed, hardware and wall time are beside every result."""
    records = [p for p in (smoke / "results/smoke").rglob("*record.json") if ".scratch" not in p.parts]
    assert len(records) > 20
    for path in records:
        record = json.loads(path.read_text())
        assert {"commit", "versions", "config_hash", "seed", "hardware", "wall_seconds", "command"} <= set(record), path
