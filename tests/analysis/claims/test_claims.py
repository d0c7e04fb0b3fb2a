"""Verdicts on runs with known truth, and the files that the comparison leaves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from intro.analysis.claims.judge import Outcome, judge, judge_grid, together, verdict, with_grid
from intro.analysis.claims.records import Claim, record
from intro.analysis.claims.scoreboard import scoreboard
from intro.analysis.compare import run as compare
from intro.analysis.data.results import difference, load_results
from intro.analysis.stats.intervals import Interval
from intro.types import IntroError
from synthetic import HARD, MODELS, config, grid, responses, write

REPORTED = Path(__file__).parents[3] / "workflow" / "reported"
AS_CLAIMED = {"base": 0.4, "sft": 0.25, "grpo": 0.5, "intro": 0.7, "intro-n1": 0.2, "intro-n2": 0.65, "intro-n40": 0.4}
LENGTHS = {"base": 80.0, "sft": 80.0, "grpo": 70.0, "intro": 40.0}


def rows(configuration) -> dict[tuple[str, str], pd.Series]:
    results = load_results(configuration)
    claims = record(configuration)
    judged = judge(results, claims, judge_grid(results, claims))
    return {(row.claim, row.protocol): row for row in judged}


def verdicts_of(configuration, protocol: str = "paper") -> dict[str, str]:
    return {claim: str(row.verdict) for (claim, at), row in rows(configuration).items() if at in (protocol, "any")}


# ---------------------------------------------------------------- runs with known truth


def test_a_run_as_the_paper_claims_reproduces(tmp_path: Path) -> None:
    run = config(tmp_path)
    write(run, graded_responses=responses(AS_CLAIMED, tokens=LENGTHS))
    verdicts = verdicts_of(run)
    expected = ["above_base", "above_grpo", "best_of_all", "best_per_benchmark", "sft_below_base"]
    expected += [
        "shorter_than_grpo_hard",
        "shorter_than_grpo_all",
        "moderate_n_best",
        "n1_below_base",
        "n40_below_best",
    ]
    assert {claim: verdicts[claim] for claim in expected} == dict.fromkeys(expected, "reproduced")


def test_a_run_against_the_paper_contradicts(tmp_path: Path) -> None:
    run = config(tmp_path)
    rates = {"base": 0.4, "sft": 0.6, "grpo": 0.7, "intro": 0.25, "intro-n1": 0.6, "intro-n2": 0.25, "intro-n40": 0.7}
    write(run, graded_responses=responses(rates, tokens={"intro": 90.0}))
    verdicts = verdicts_of(run)
    expected = ["above_base", "above_grpo", "best_of_all", "best_per_benchmark", "sft_below_base"]
    expected += ["shorter_than_grpo_hard", "shorter_than_grpo_all", "moderate_n_best", "n1_below_base"]
    assert {claim: verdicts[claim] for claim in expected} == dict.fromkeys(expected, "contradicted")


def test_a_run_without_differences_is_inconclusive(tmp_path: Path) -> None:
    run = config(tmp_path)
    write(run, graded_responses=responses(dict.fromkeys(AS_CLAIMED, 0.5)))
    verdicts = verdicts_of(run)
    for claim in ("above_base", "above_grpo", "best_of_all", "sft_below_base", "moderate_n_best", "n1_below_base"):
        assert verdicts[claim] == "inconclusive", claim


def test_nothing_run_is_nothing_tested(tmp_path: Path) -> None:
    judged = rows(config(tmp_path))
    assert {str(row.verdict) for row in judged.values()} == {"not tested"}
    assert all(math.isnan(row.estimate) for row in judged.values())


def test_best_of_all_names_the_baseline_that_comes_closest(tmp_path: Path) -> None:
    run = config(tmp_path)
    write(run, graded_responses=responses({"base": 0.4, "sft": 0.68, "grpo": 0.5, "intro": 0.7}))
    row = rows(run)["best_of_all", "paper"]
    assert "sft, Holm over 3" in row.replicates
    assert row.estimate == pytest.approx(2.0, abs=2.5)
    assert row.estimate < rows(run)["above_grpo", "paper"].estimate


def test_gains_that_grow_and_gains_that_shrink(tmp_path: Path) -> None:
    base = dict(zip(MODELS, (0.0, 0.15, 0.3), strict=True))
    strong = responses({"base": 0.2}, models=base, shared=1.0)
    run = config(tmp_path)
    for sign, expected in ((1, "reproduced"), (-1, "contradicted")):
        # the gain is linear in the base level: 0.15, 0.3, 0.45, or the other way round
        gained = {model: shift + sign * (shift - 0.15) for model, shift in base.items()}
        write(run, graded_responses=pd.concat([strong, responses({"intro": 0.5}, models=gained, shared=1.0)]))
        assert verdicts_of(run)["gains_grow_with_base"] == expected


def test_an_n_outside_the_grid_is_not_tested(tmp_path: Path) -> None:
    run = config(tmp_path, ablation_n={"model": "qwen2-s", "method": "intro", "grid": [1, 2, 5]})
    write(run, graded_responses=responses(AS_CLAIMED))
    verdicts = verdicts_of(run)
    assert (verdicts["n40_below_best"], verdicts["n1_below_base"]) == ("not tested", "reproduced")


def test_length_counts_every_problem_the_same(tmp_path: Path) -> None:
    """Forty tokens shorter on the 12 problems of one benchmark, twenty on the 240 of two others."""
    run = config(tmp_path)
    grades = responses({"grpo": 0.5, "intro": 0.5}).assign(tokens=60)
    grades.loc[grades.method == "intro", "tokens"] = 40
    few = (grades.benchmark == HARD) & ~grades.problem.isin([f"{HARD}-{i}" for i in range(12)])
    grades.loc[(grades.method == "intro") & (grades.benchmark == HARD), "tokens"] = 20
    write(run, graded_responses=grades[~few])
    judged = rows(run)
    assert judged["shorter_than_grpo_hard", "paper"].estimate == pytest.approx(-40)
    assert judged["shorter_than_grpo_all", "paper"].estimate == pytest.approx(-(12 * 40 + 240 * 20) / 252)


def test_training_seeds_widen_the_interval_of_the_ablation(tmp_path: Path) -> None:
    run = config(tmp_path)
    write(run, graded_responses=responses(AS_CLAIMED, train_seeds=3))
    row = rows(run)["n1_below_base", "paper"]
    assert (row.verdict, row.replicates) == ("reproduced", "problems and 3 runs")


def test_tuned_is_judged_apart_from_paper(tmp_path: Path) -> None:
    run = config(tmp_path, training={**config(tmp_path).training.model_dump(), "protocols": ["paper", "tuned"]})
    shared, tuned = responses(AS_CLAIMED), responses({"grpo": 0.9, "intro": 0.6}).assign(protocol="tuned")
    write(run, graded_responses=pd.concat([shared, tuned]))
    assert verdicts_of(run, "paper")["above_grpo"] == "reproduced"
    assert verdicts_of(run, "tuned")["above_grpo"] == "contradicted"
    assert verdicts_of(run, "tuned")["above_base"] == "reproduced"


# ---------------------------------------------------------------- the learning-rate grid


def test_a_grid_that_disagrees_makes_the_verdict_depend_on_it(tmp_path: Path) -> None:
    run = config(tmp_path)
    rates = {3e-5: {"grpo": 0.3, "intro": 0.7}, 1e-4: {"grpo": 0.5, "intro": 0.5}, 3e-4: {"grpo": 0.8, "intro": 0.5}}
    write(run, graded_responses=responses(AS_CLAIMED), grid_graded_responses=grid(rates))
    results, claims = load_results(run), record(run)
    points = judge_grid(results, claims)
    assert [p.verdict for p in points if p.claim == "above_grpo"] == ["reproduced", "inconclusive", "contradicted"]
    assert [p.verdict for p in points if p.claim == "best_of_all"] == ["reproduced", "inconclusive", "contradicted"]
    assert {p.verdict for p in points if p.claim == "above_base"} == {"not tested"}, "no base in this grid"
    verdicts = verdicts_of(run)
    assert verdicts["above_grpo"] == verdicts["best_of_all"] == "depends on learning rate"
    assert verdicts["above_base"] == "reproduced"


def test_tuned_rates_do_not_depend_on_the_grid(tmp_path: Path) -> None:
    run = config(tmp_path, training={**config(tmp_path).training.model_dump(), "protocols": ["tuned"]})
    rates = {3e-5: {"grpo": 0.3, "intro": 0.7}, 3e-4: {"grpo": 0.8, "intro": 0.5}}
    write(
        run,
        graded_responses=responses(AS_CLAIMED).replace({"protocol": {"paper": "tuned"}}),
        grid_graded_responses=grid(rates),
    )
    assert verdicts_of(run, "tuned")["above_grpo"] == "reproduced"


def test_a_base_row_serves_every_rate(tmp_path: Path) -> None:
    run = config(tmp_path)
    rates = {1e-4: {"base": 0.2, "intro": 0.7}, 3e-4: {"intro": 0.05}}
    grades = grid(rates)
    grades.loc[grades.method == "base", "lr"] = np.nan
    write(run, grid_graded_responses=grades, graded_responses=responses(AS_CLAIMED))
    results, claims = load_results(run), record(run)
    points = [p for p in judge_grid(results, claims) if p.claim == "above_base"]
    assert [(p.lr, p.verdict) for p in points] == [(1e-4, "reproduced"), (3e-4, "contradicted")]


def test_only_a_disagreement_of_the_grid_counts() -> None:
    assert with_grid(Outcome.REPRODUCED, ["reproduced", "inconclusive"]) == Outcome.REPRODUCED
    assert with_grid(Outcome.REPRODUCED, ["reproduced", "contradicted"]) == Outcome.DEPENDS
    assert with_grid(Outcome.INCONCLUSIVE, ["reproduced", "contradicted"]) == Outcome.DEPENDS
    assert with_grid(Outcome.CONTRADICTED, []) == Outcome.CONTRADICTED


# ---------------------------------------------------------------- curves, the answer, counts, the posterior


def curves(length: float, accuracy: float) -> pd.DataFrame:
    table = []
    for index, model in enumerate(MODELS):
        for step in (0, 10, 20):
            for subset in ("hard", "all", "train"):
                row = {"model": model, "method": "intro", "train_seed": 0, "step": step, "subset": subset}
                row |= {"value": 30 + accuracy * step + index * step / 100}
                row |= {"mean_tokens": 80 + length * step + index * step / 100, "protocol": "paper"}
                table.append(row)
    return pd.DataFrame(table)


@pytest.mark.parametrize(
    ("length", "accuracy", "expected"),
    [
        (-1.0, 1.0, ("reproduced", "reproduced", "reproduced")),
        (-1.0, -1.0, ("reproduced", "contradicted", "contradicted")),
        (-1.0, -0.01, ("reproduced", "inconclusive", "inconclusive")),
        (1.0, 1.0, ("contradicted", "reproduced", "contradicted")),
    ],
)
def test_shorter_and_better_needs_both(
    tmp_path: Path, length: float, accuracy: float, expected: tuple[str, str, str]
) -> None:
    run = config(tmp_path)
    write(run, curves=curves(length, accuracy))
    verdicts = verdicts_of(run)
    assert tuple(verdicts[c] for c in ("length_falls", "hard_accuracy_rises", "shorter_and_better")) == expected


def test_one_curve_has_no_interval_and_decides_nothing(tmp_path: Path) -> None:
    run = config(tmp_path)
    write(run, curves=curves(-1.0, 1.0).query("model == 'qwen2-s'"))
    row = rows(run)["length_falls", "paper"]
    assert (row.estimate, row.verdict, row.replicates) == (-20.0, "inconclusive", "1 runs, no interval")


def test_the_answer_helps_on_hard_and_hurts_on_easy(tmp_path: Path) -> None:
    run = config(tmp_path)
    # without the answer 0.6 / 0.6 / 0.2; with it 0.4 / 0.6 / 0.8
    without = responses({"base": 0.6}, benchmarks={"chain-2": 0.0, "chain-5": 0.0, HARD: -0.4})
    given = responses({"base": 0.6}, suite="answer_in_prompt", benchmarks={"chain-2": -0.2, "chain-5": 0.0, HARD: 0.2})
    two = given.model.isin(list(MODELS)[:2])  # two models are fixed, their problems resampled
    write(run, graded_responses=pd.concat([without, given[two]]))
    judged = rows(run)
    most, hurts = judged["answer_helps_hard_most", "any"], judged["answer_hurts_easy", "any"]
    assert (most.verdict, hurts.verdict) == ("reproduced", "reproduced")
    assert most.estimate == pytest.approx(70, abs=6)
    assert hurts.estimate == pytest.approx(-20, abs=5)
    assert most.replicates == "2 models, problems only"


def test_answers_that_are_copied_do_not_count(tmp_path: Path) -> None:
    """Every response given the answer is right, but none of its rationales passes the verifier."""
    run = config(tmp_path)
    given = responses({"base": 2.0}, suite="answer_in_prompt").assign(verified=0)
    write(run, graded_responses=pd.concat([responses({"base": 0.3}), given]))
    assert rows(run)["answer_hurts_easy", "any"].estimate < 0


def test_without_a_verifier_the_claim_is_not_tested(tmp_path: Path) -> None:
    run = config(tmp_path)
    grades = pd.concat([responses({"base": 0.3}), responses({"base": 0.9}, suite="answer_in_prompt")])
    write(run, graded_responses=grades.assign(verified=np.nan))
    assert rows(run)["answer_hurts_easy", "any"].verdict == "not tested"


def test_counted_passes_are_exact(tmp_path: Path) -> None:
    run = config(tmp_path)
    write(run, cost=pd.DataFrame({"method": ["intro", "grpo"], "forward_passes": [2.0, 2.0]}))
    judged = rows(run)
    assert judged["two_forward_passes", "any"].verdict == "reproduced"
    per_rationale = judged["grpo_needs_2g_passes", "any"]
    assert (per_rationale.estimate, per_rationale.verdict) == (1.0, "contradicted")


def test_a_value_is_shown_but_not_judged_on_a_scale_model(tmp_path: Path) -> None:
    run = config(tmp_path)
    kl = pd.DataFrame({"model": "qwen2-s", "estimate": "bayes", "problem": range(40), "kl": np.linspace(2.2, 2.4, 40)})
    write(run, posterior=kl)
    row = rows(run)["posterior_kl_bayes", "any"]
    assert row.estimate == pytest.approx(2.3)
    assert row.ci_low < row.estimate < row.ci_high
    assert row.verdict == "not tested"
    assert rows(run)["posterior_kl_enumerated", "any"].verdict == "not tested"


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("direction", "low", "high", "expected"),
    [
        ("above", 0.1, 0.2, "reproduced"),
        ("above", -0.2, -0.1, "contradicted"),
        ("above", -0.1, 0.1, "inconclusive"),
        ("above", 0.0, 0.0, "inconclusive"),
        ("below", -0.2, -0.1, "reproduced"),
        ("below", 0.1, 0.2, "contradicted"),
        ("equal", -0.4, 0.4, "reproduced"),
        ("equal", 0.6, 0.7, "contradicted"),
        ("equal", 0.4, 0.6, "inconclusive"),
        ("above", math.nan, math.nan, "inconclusive"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(direction: str, low: float, high: float, expected: str) -> None:
    claim = Claim("c", "", "", lambda results: None, direction, margin=0.5)  # type: ignore[arg-type]
    assert verdict(claim, Interval((low + high) / 2, low, high, "")) == expected
    assert verdict(claim, None) == "not tested"


def test_together_one_contradiction_is_enough() -> None:
    assert together([Outcome.REPRODUCED, Outcome.REPRODUCED]) == Outcome.REPRODUCED
    assert together([Outcome.NOT_TESTED, Outcome.CONTRADICTED]) == Outcome.CONTRADICTED
    assert together([Outcome.NOT_TESTED, Outcome.REPRODUCED]) == Outcome.NOT_TESTED
    assert together([Outcome.INCONCLUSIVE, Outcome.REPRODUCED]) == Outcome.INCONCLUSIVE


def test_a_single_base_run_is_held_against_every_training_run() -> None:
    index = pd.MultiIndex.from_product([["b"], ["p", "q"]], names=["benchmark", "problem"])
    names = ["pretrain_seed", "train_seed"]
    base = pd.DataFrame([[10.0], [20.0]], index, pd.MultiIndex.from_tuples([(0, -1)], names=names))
    runs = pd.MultiIndex.from_tuples([(0, 0), (0, 1)], names=names)
    trained = pd.DataFrame([[11.0, 12.0], [23.0, 24.0]], index, runs)
    assert difference(trained, base).to_numpy().tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_runs_from_several_base_models_are_held_against_their_own() -> None:
    """Base models of one name differ by more than methods do: another run's base would be no comparison."""
    index = pd.MultiIndex.from_product([["b"], ["p", "q"]], names=["benchmark", "problem"])
    names = ["pretrain_seed", "train_seed"]
    base = pd.DataFrame([[10.0, 50.0], [20.0, 60.0]], index, pd.MultiIndex.from_tuples([(0, 0), (1, 0)], names=names))
    runs = pd.MultiIndex.from_tuples([(0, 0), (1, 1), (0, 2)], names=names)
    trained = pd.DataFrame([[11.0, 52.0, 13.0], [21.0, 62.0, 23.0]], index, runs)
    assert difference(trained, base).to_numpy().tolist() == [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]


# ---------------------------------------------------------------- files


def test_compare_writes_every_file_and_a_scoreboard_that_fits(tmp_path: Path) -> None:
    run = config(tmp_path)
    given = responses({"base": 0.9}, suite="answer_in_prompt")
    rates = {1e-4: {"base": 0.3, "grpo": 0.3, "intro": 0.7}}
    write(
        run,
        graded_responses=pd.concat([responses(AS_CLAIMED), given]),
        curves=curves(-1.0, 1.0),
        grid_graded_responses=grid(rates),
    )
    written = compare.run(run, REPORTED)
    names = {str(path.relative_to(run.results_dir)) for path in written}
    tables = {f"compare/{name}.csv" for name in ("main", "ood", "ablation_n", "audit", "claims_grid")}
    assert names == tables | {"claims.csv", "claims.md"}
    claims = pd.read_csv(run.results_dir / "claims.csv")
    columns = "claim statement protocol estimand estimate ci_low ci_high verdict replicates"
    assert list(claims.columns) == columns.split()
    text = scoreboard(run.results_dir / "claims.csv")
    assert max(map(len, text.splitlines())) <= 80
    assert all(claim in text for claim in claims.claim)
    page = (run.results_dir / "claims.md").read_text()
    assert page.count("| reproduced |") == 3, "three claims at one learning rate"
    assert not [path for path in run.results_dir.rglob(".*")], "no temporary file is left"


def test_comparing_an_empty_run_still_audits_the_paper(tmp_path: Path) -> None:
    run = config(tmp_path)
    compare.run(run, REPORTED)
    assert len(pd.read_csv(run.results_dir / "compare" / "audit.csv")) > 300
    assert (run.results_dir / "claims.md").exists()


def test_a_scoreboard_that_was_not_made_says_how(tmp_path: Path) -> None:
    with pytest.raises(IntroError, match="snakemake compare"):
        scoreboard(tmp_path / "claims.csv")


def test_a_file_without_a_needed_column_is_named(tmp_path: Path) -> None:
    run = config(tmp_path)
    write(run, graded_responses=responses(AS_CLAIMED).drop(columns="tokens"))
    with pytest.raises(IntroError, match=r"graded_responses\.csv\.gz: expected column tokens"):
        load_results(run)
