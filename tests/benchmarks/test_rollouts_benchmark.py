"""The rollout benchmark counts what it says: tokens up to each row's end, and the bytes that a step must read."""

from __future__ import annotations

import pytest
import torch

import rollouts
from toy import random_model


def test_tokens_count_up_to_their_rows_end() -> None:
    """The end counts; what pads the row behind it does not, whatever it is."""
    tokens = torch.tensor([[5, 6, 9, 0, 0], [5, 6, 7, 8, 5], [9, 9, 9, 5, 9], [5, 8, 0, 0, 6]])
    assert rollouts._generated(tokens, torch.tensor([8, 9])) == 3 + 4 + 1 + 2


def test_ways_generate_the_tokens_that_are_asked_for() -> None:
    """An end outside of the vocabulary never comes: every row has all of its tokens, in both kinds of cache."""
    model, prompts = random_model(), rollouts.prompts_of(8, 6, 20, torch.Generator().manual_seed(0))
    assert len(set(prompts)) == 2 and len(prompts) == 8
    for cache in ("dynamic", "static"):
        assert rollouts.by_generate(model, prompts, 5, (20,), 3, cache)() == 40


@pytest.mark.parametrize("tied", [True, False])
def test_floor_by_hand(tied: bool) -> None:
    """Weights but the embeddings, which are looked up, and the keys and values of 3 rows of 10 positions."""
    model = random_model(tied=tied)
    weights = sum(p.numel() for p in model.parameters()) - (0 if tied else 20 * 16)
    cached = 3 * 10 * 2 * 2 * 2 * 4  # keys and values, layers, kv heads, head dim
    assert rollouts.floor(model, 3, 10, rate=1e9) == pytest.approx(3 * 1e9 / (4 * (weights + cached)))
