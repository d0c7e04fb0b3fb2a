"""Tables hold the right cells in the paper's order, in three formats that agree."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import whole_run
from intro import experiments
from intro.analysis.data import cells
from intro.analysis.data.inputs import Inputs
from intro.analysis.stats.intervals import Resampling
from intro.analysis.tables import build as tables
from intro.analysis.tables import typeset
from intro.types import IntroError

IN_DOMAIN = ["chain-2", "chain-5", "chain-6", "chain-4", "chain-3", "chain-7"]


@pytest.fixture(scope="module")
def config(whole):
    for name in experiments.table_names(whole):
        tables.table(whole, name, Inputs(whole))
    return whole


def read(config, name: str) -> pd.DataFrame:
    return pd.read_csv(config.results_dir / "tables" / f"{name}.csv")


def text(config, name: str) -> str:
    return (config.results_dir / "tables" / name).read_text()


def test_names_follow_the_config(config):
    assert experiments.table_names(config) == ["main", "main_tuned", "ood", "controls", "ablation_n"]


def test_main_has_the_papers_rows_and_columns(config):
    frame = read(config, "main")
    ends = ["average", "improvement_pct", "average_ci_low", "average_ci_high"]
    assert list(frame) == ["model", "stands_for", "method", *IN_DOMAIN, *ends]
    assert list(frame.method[:7]) == ["base", "sft", "latro", "raft++", "gpg", "grpo", "intro"]
    assert list(frame.model.unique()) == list(config.models)


def test_average_and_improvement_follow_from_the_cells(config):
    for name in ("main", "main_tuned", "controls"):
        frame = read(config, name)
        assert np.allclose(frame.average, frame[IN_DOMAIN].mean(axis=1), atol=1e-3)
        base = frame[frame.method == "base"].set_index("model").average
        expected = 100 * (frame.average / frame.model.map(base) - 1)
        trained = frame.method != "base"
        assert np.allclose(frame.improvement_pct[trained], expected[trained], atol=0.02)
        assert frame.improvement_pct[~trained].isna().all()
        assert ((frame.average_ci_low < frame.average) & (frame.average < frame.average_ci_high)).all()


def test_protocols_are_kept_apart(config):
    main, tuned = read(config, "main"), read(config, "main_tuned")
    base = main.method == "base"
    assert main[base].average.equals(tuned[base].average)
    assert not np.isclose(main[~base].average, tuned[~base].average).all()


def test_out_of_domain_table_has_no_improvement(config):
    frame = read(config, "ood")
    assert list(frame.columns[3:8]) == ["mix", "largest", "count", "reverse", "rotate"]
    assert "improvement_pct" not in frame


def test_markdown_names_benchmarks_and_what_they_stand_for(config):
    head = text(config, "main.md").splitlines()[0]
    assert "chain-2<br>MATH500" in head
    assert "chain-7 (avg@8)<br>AIME25" in head


def test_best_of_each_block_is_bold_in_both_texts(config):
    frame, markdown, latex = read(config, "main"), text(config, "main.md"), text(config, "main.tex")
    for _, block in frame.groupby("model"):
        best = f"{block.average.round(1).max():.1f}"
        assert f"**{best}**" in markdown
        assert f"\\textbf{{{best}}}" in latex


def test_latex_is_a_balanced_booktabs_tabular(config):
    for name in experiments.table_names(config):
        latex = text(config, f"{name}.tex")
        assert latex.startswith("\\begin{tabular}") and latex.rstrip().endswith("\\end{tabular}")
        assert latex.count("{") == latex.count("}")
        assert all(rule in latex for rule in ("\\toprule", "\\midrule", "\\bottomrule"))
        spec = latex.split("}{", 1)[1].split("}", 1)[0]
        rows = [line for line in latex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {line.count(" & ") + 1 for line in rows} == {len(spec)}
        assert not any("%" in line.replace("\\%", "") for line in rows)


def test_ablation_takes_the_tables_own_run_for_its_n(config):
    frame, main = read(config, "ablation_n"), read(config, "main")
    assert list(frame) == ["n", "average", "ci_low", "ci_high", "policy_entropy"]
    assert list(frame.n) == sorted(config.ablation_n.grid)
    average = main[(main.model == config.ablation_n.model) & (main.method == "intro")].average.iloc[0]
    assert frame.set_index("n").average[5] == pytest.approx(average, abs=1e-3)


def test_entropy_is_that_of_the_last_quarter():
    metrics = pd.DataFrame({"step": [1, 2, 3, 4], "entropy": [9.0, 9.0, 9.0, 0.5]})
    assert tables.final_entropy(metrics) == 0.5


def test_seeds_are_averaged_and_the_note_says_so(config, three_seeds):
    assert "problems only: a single training run each" in text(config, "main.md")
    for name in ("main", "ablation_n"):
        tables.table(three_seeds, name, Inputs(three_seeds))
        assert "problems and 3 training runs" in text(three_seeds, f"{name}.md")
    scores = pd.read_csv(three_seeds.results_dir / "scores.csv")
    cell = scores.query("suite == 'main' and model == 'qwen2-s' and method == 'intro' and benchmark == 'chain-2'")
    mean = cell[cell.protocol == "paper"].value.mean()
    assert read(three_seeds, "main").query("model == 'qwen2-s' and method == 'intro'")["chain-2"].iloc[0] == (
        pytest.approx(mean, abs=1e-3)
    )


def test_no_interval_of_an_accuracy_leaves_the_percentages():
    """Three runs of which one collapsed: Student's t alone would reach beyond both ends."""
    problems = pd.MultiIndex.from_product([["chain-2"], range(50)], names=["benchmark", "problem"])
    values = pd.DataFrame({(0, 0): 100.0, (0, 1): 100.0, (0, 2): 10.0}, index=problems)
    results = SimpleNamespace(values=lambda *_: values, resampling=Resampling(500, 0))
    found = cells.accuracy(results, "m", "intro")
    assert (found.low, found.value, found.high) == (0.0, 70.0, 100.0)


def test_a_config_without_results_makes_tables_of_dashes(tmp_path):
    empty = whole_run.config(tmp_path)
    for name in experiments.table_names(empty):
        tables.table(empty, name, Inputs(empty))
    assert typeset.DASH in text(empty, "main.md")
    assert "**" not in text(empty, "main.md").replace("**qwen", "").replace("-s**", "").split("\n")[3]


def test_an_unknown_table_is_one_sentence(config):
    with pytest.raises(IntroError, match=r"no table 'tabel'.*it has main"):
        tables.table(config, "tabel")


def test_numbers_have_true_minus_signs():
    assert typeset.number(-3.14159) == "−3.1"
    assert typeset.escape("−3.1 % & _") == r"$-$3.1 \% \& \_"
