"""Intervals against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from intro.analysis.stats.intervals import (
    Interval,
    Resampled,
    Resampling,
    average,
    bootstrap,
    holm_levels,
    over_models,
    slope,
    smallest,
    t_estimate,
    within_model,
)

RESAMPLING = Resampling(resamples=2000, seed=3)


def column(values: object) -> np.ndarray:
    return np.asarray(values, dtype=float)[:, None]


# ---------------------------------------------------------------- problems


def test_the_bootstrap_of_a_share_is_binomial() -> None:
    solved = column([100.0] * 60 + [0.0] * 140)
    interval = within_model([solved], Resampling(20000, 0)).interval()
    low, high = 100 * scipy_stats.binom.ppf([0.025, 0.975], 200, 0.3) / 200
    assert interval.value == pytest.approx(30.0)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=0.5), pytest.approx(high, abs=0.5))
    assert interval.replicates == "problems only"


def test_an_average_weighs_benchmarks_equally_whatever_their_size() -> None:
    strata = [column([100.0] * 10), column([0.0] * 990)]
    assert average(strata) == 50.0
    assert bootstrap(strata, RESAMPLING) == pytest.approx(50.0), "resampling stays within a benchmark"


def test_the_interval_of_an_average_adds_variances_of_benchmarks() -> None:
    strata = [column([100.0, 0.0] * 50), column([100.0, 0.0] * 200)]
    draws = within_model(strata, Resampling(20000, 0)).draws
    expected = 0.5 * np.sqrt(50**2 / 100 + 50**2 / 400)
    assert np.std(draws) == pytest.approx(expected, rel=0.03)


def test_samples_of_a_problem_do_not_count_as_problems() -> None:
    """Ten equal samples per problem leave the interval of one sample per problem."""
    once = column([100.0, 0.0, 0.0, 100.0] * 10)
    mean_of_ten = column([np.mean([v] * 10) for v in once[:, 0]])
    assert within_model([once], RESAMPLING).interval() == within_model([mean_of_ten], RESAMPLING).interval()


def test_same_shapes_and_seed_draw_the_same_problems() -> None:
    a, b = column(range(30)), column(range(30, 60))
    assert bootstrap([b], RESAMPLING) - bootstrap([a], RESAMPLING) == pytest.approx(30.0)
    assert not np.array_equal(bootstrap([a], RESAMPLING), bootstrap([a], Resampling(2000, 4)))


@settings(max_examples=30)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=30), st.floats(-50, 50))
def test_intervals_move_with_their_values(values: list[float], shift: float) -> None:
    plain = within_model([column(values)], Resampling(200, 0)).interval()
    moved = within_model([column(values) + shift], Resampling(200, 0)).interval()
    assert min(values) - 1e-9 <= plain.low <= plain.high <= max(values) + 1e-9
    assert (moved.low, moved.high) == (pytest.approx(plain.low + shift), pytest.approx(plain.high + shift))


def test_a_paired_interval_covers_its_truth_nineteen_times_in_twenty() -> None:
    rng, hits = np.random.default_rng(0), 0
    for trial in range(300):
        drawn = column(100.0 * (rng.random(150) < 0.55) - 100.0 * (rng.random(150) < 0.45))
        interval = within_model([drawn], Resampling(400, trial)).interval()
        hits += interval.low <= 10.0 <= interval.high
    assert 0.91 <= hits / 300 <= 0.985


def test_an_empty_stratum_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one problem"):
        within_model([np.empty((0, 1))], RESAMPLING)


# ---------------------------------------------------------------- runs and models


def test_three_runs_enter_by_a_t_interval() -> None:
    """Without any spread over problems only the runs are left, and the interval is Student's."""
    runs = np.array([50.0, 53.0, 55.0])
    estimate = within_model([np.tile(runs, (40, 1))], RESAMPLING)
    expected = t_estimate(runs, "runs").interval()
    assert estimate.replicates == "problems and 3 runs"
    assert estimate.interval().low == pytest.approx(expected.low, rel=0.01)
    assert estimate.interval().high == pytest.approx(expected.high, rel=0.01)


def test_spread_over_runs_widens_and_two_runs_are_too_few_to_tell() -> None:
    rng = np.random.default_rng(1)
    problems = rng.uniform(0, 100, (100, 1))
    equal, unequal = problems + np.zeros(3), problems + np.array([-10.0, 0.0, 10.0])

    def width(values: np.ndarray) -> float:
        interval = within_model([values], RESAMPLING).interval()
        return interval.high - interval.low

    assert width(unequal) > 2 * width(equal)
    assert width(equal) == pytest.approx(width(problems))
    assert within_model([unequal[:, :2]], RESAMPLING).replicates == "problems only, 2 runs"


def test_a_t_interval_is_the_textbook_one() -> None:
    values = [1.0, 2.0, 4.0, 5.0, 8.0]
    interval = t_estimate(values, "models").interval()
    low, high = scipy_stats.t.interval(0.95, 4, loc=4.0, scale=scipy_stats.sem(values))
    assert interval == Interval(4.0, pytest.approx(low), pytest.approx(high), "5 models")
    assert t_estimate(values, "models").p_value() == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue)
    with pytest.raises(ValueError, match="two or more models"):
        t_estimate([1.0], "models")


def test_equal_replicates_leave_no_doubt_and_no_noise() -> None:
    estimate = t_estimate([0.1 + 0.2, 0.3, 0.3], "models")
    assert estimate.interval().low == estimate.interval().high
    assert (estimate.p_value(estimate.value), estimate.p_value(0.0)) == (1.0, 0.0)


def test_three_models_are_replicates_and_two_are_fixed() -> None:
    models = {name: [column(np.full(20, value))] for name, value in zip("abc", (1.0, 2.0, 3.0), strict=True)}
    assert over_models(models, RESAMPLING).interval() == t_estimate([1.0, 2.0, 3.0], "models").interval()
    two = over_models({name: models[name] for name in "ab"}, RESAMPLING)
    assert two.interval() == Interval(1.5, 1.5, 1.5, "2 models, problems only")
    one = over_models({"a": models["a"]}, RESAMPLING)
    assert one.replicates == "problems only"


def test_a_slope_has_the_interval_of_least_squares() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0], [2.1, 3.9, 6.2, 7.8]
    fit = scipy_stats.linregress(x, y)
    half = scipy_stats.t.ppf(0.975, 2) * fit.stderr
    interval = slope(x, y, "models").interval()
    assert interval.value == pytest.approx(fit.slope)
    assert (interval.low, interval.high) == (pytest.approx(fit.slope - half), pytest.approx(fit.slope + half))


# ---------------------------------------------------------------- many comparisons


def test_holm_by_hand() -> None:
    """p = .010, .020, .030 against .05/3, .05/2, .05: all rejected."""
    assert holm_levels([0.030, 0.010, 0.020]) == pytest.approx([0.95, 1 - 0.05 / 3, 0.975])


def test_holm_stops_at_the_first_that_fails() -> None:
    """.030 fails against .05/2, so .035 is held against the same although it would pass .05."""
    assert holm_levels([0.001, 0.030, 0.035]) == pytest.approx([1 - 0.05 / 3, 0.975, 0.975])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    levels = holm_levels(p_values)
    assert min(levels) >= 0.95 - 1e-12
    assert max(levels) <= 1 - 0.05 / len(p_values) + 1e-12


def normal(mean: float, error: float) -> Resampled:
    quantiles = scipy_stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    return Resampled(mean, mean + error * quantiles, "problems only")


def test_the_smallest_difference_names_its_baseline_and_is_corrected() -> None:
    both = smallest({"sft": normal(9.0, 1.0), "grpo": normal(2.1, 1.0)})
    assert both.value == pytest.approx(2.1)
    assert "grpo" in both.replicates
    # grpo has the larger p-value, so it is the last step of Holm and keeps the plain level
    assert both.low == pytest.approx(normal(2.1, 1.0).interval().low)


def test_two_clear_losses_stay_below_zero_and_one_doubtful_win_spoils_the_claim() -> None:
    assert smallest({"sft": normal(9.0, 1.0), "grpo": normal(-4.0, 1.0)}).high < 0
    assert smallest({"sft": normal(9.0, 1.0), "grpo": normal(1.0, 1.0)}).low < 0


def test_a_bootstrap_p_value_agrees_with_its_interval() -> None:
    assert normal(1.9, 1.0).p_value() > 0.05
    assert normal(2.0, 1.0).p_value() < 0.05
    assert normal(0.0, 1.0).p_value() == pytest.approx(1.0, abs=0.01)
