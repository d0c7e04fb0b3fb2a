"""MetricAccumulator: means over micro-batches of unequal size, and maxima."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intro.training.metrics import MetricAccumulator

numbers = st.floats(-100, 100)


@given(st.lists(st.lists(numbers, max_size=6), min_size=1, max_size=6), st.integers(0, 6))
def test_any_split_gives_the_mean_and_the_maximum_of_the_whole(parts: list[list[float]], cut: int) -> None:
    """Added at once or merged from two accumulators, with empty parts."""
    tallies = [MetricAccumulator(), MetricAccumulator()]
    for i, part in enumerate(parts):
        values = torch.tensor(part, dtype=torch.float64)
        tallies[i >= cut].add({"w": values, "w_max": values})
    tallies[0].merge(tallies[1])
    whole = [x for part in parts for x in part]
    means = tallies[0].means()
    if not whole:
        assert means == {}
        return
    assert means["w"] == pytest.approx(sum(whole) / len(whole), abs=1e-9)
    assert means["w_max"] == max(whole)


def test_mean_counts_elements_not_calls() -> None:
    tally = MetricAccumulator()
    tally.add({"a": torch.tensor([1.0, 1.0, 1.0])})
    tally.add({"a": torch.tensor([[5.0]]), "b": torch.tensor(2.0)})
    assert tally.means() == {"a": 2.0, "b": 2.0}
