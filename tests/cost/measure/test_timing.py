"""Measuring: which work runs when, ratios with known answers, and memory of a known size."""

from __future__ import annotations

import random
import subprocess
import sys
from statistics import median

import pytest
import torch

from intro.cost.measure import timing
from intro.cost.measure.timing import Ratio, interleaved, machine, median_interval, paired, peak_bytes


def test_works_take_turns_in_an_order_that_rotates() -> None:
    """Each work has had each place once after as many rounds as there are works; warm-up rounds are not counted."""
    order: list[str] = []
    works = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = interleaved(works, rounds=3, warmup=1)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert all(s >= 0 for taken in seconds.values() for s in taken)


def test_seconds_belong_to_the_work_that_took_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of a work are what the clock advances while it runs, whatever its place in a round."""
    now = [0.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    seconds = interleaved({"short": lambda: advance(1.0), "long": lambda: advance(8.0)}, rounds=4)
    assert seconds == {"short": [1.0] * 4, "long": [8.0] * 4}


def test_ratios_are_taken_within_a_round() -> None:
    """A round that is ten times slower for all changes no ratio; a ratio of medians would not see the difference."""
    seconds = {"one": [1.0, 10.0, 2.0], "two": [2.0, 20.0, 4.0], "mixed": [3.0, 10.0, 10.0]}
    ratios = paired(seconds, "one")
    assert ratios["one"] == Ratio(1.0, 1.0, 1.0) and ratios["two"] == Ratio(2.0, 2.0, 2.0)
    assert ratios["mixed"] == Ratio(3.0, 1.0, 5.0)  # of 1, 3, 5: 7 in 27 resamples have the median 1, and 7 have 5
    assert paired(seconds, "one") == ratios


def test_rounds_must_pair() -> None:
    with pytest.raises(ValueError):
        paired({"a": [1.0], "b": [1.0, 2.0]}, "b")


def test_interval_of_the_median_holds_the_median_and_shrinks_with_runs() -> None:
    """The interval that is called 95 % is one, not the range of the runs."""
    rng = random.Random(1)
    widths = []
    for count in (10, 400):
        values = [rng.gauss(1.4, 0.1) for _ in range(count)]
        found = median_interval(values)
        assert found.median == pytest.approx(median(values))
        assert min(values) < found.low <= found.median <= found.high < max(values)
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3


def test_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    """With 12 runs a percentile bootstrap of the median covers it in nine cases of ten or more."""
    rng = random.Random(0)
    intervals = [median_interval([rng.expovariate(1.0) for _ in range(12)], 500) for _ in range(300)]
    covered = sum(i.low <= 0.6931 <= i.high for i in intervals)
    assert 0.88 * 300 < covered < 300


def test_peak_is_the_most_held_at_a_time() -> None:
    """Tensors held together count both, one after the other the larger, and what was there before not at all."""
    mebibyte = 1 << 20
    before = torch.ones(mebibyte)

    def together() -> None:
        first = before.new_empty(mebibyte // 4)
        second = before.new_empty(mebibyte // 2)
        del first, second

    def in_turn() -> None:
        before.new_empty(mebibyte // 4)
        before.new_empty(mebibyte // 2)

    assert peak_bytes(together) == 3 * mebibyte
    assert peak_bytes(in_turn) == 2 * mebibyte
    assert peak_bytes(lambda: None) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_on_a_gpu() -> None:
    held = torch.ones(1 << 20, device="cuda")
    assert peak_bytes(lambda: held.new_empty(1 << 20), "cuda") == 4 << 20


def test_machine_names_what_a_number_depends_on() -> None:
    found = machine()
    assert found["torch"] == torch.__version__ and found["gpu"] == "none"
    assert found["threads"] == str(torch.get_num_threads())
    assert all(isinstance(v, str) and v for v in found.values())


def test_measuring_needs_torch_only() -> None:
    """Benchmarks run in a bare CUDA environment: of what this project installs, only torch is imported."""
    banned = "pydantic pandas scipy yaml transformers tokenizers snakemake intro.config".split()
    code = f"import sys, intro.cost.measure.timing; print([n for n in {banned} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
