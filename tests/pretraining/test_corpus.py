"""Encoding, buckets and padding: every document is used, prompts and padding are not learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intro.pretraining.corpus import IGNORE, bucketed_batches, collate
from intro.types import IntroError
from toy import rows_and_tokenizer


def test_collate_learns_responses_alone() -> None:
    ids, labels = collate([([5, 6, 7, 1], 2), ([8, 1], 1)])
    assert ids.tolist() == [[5, 6, 7, 1], [8, 1, 0, 0]]
    assert labels.tolist() == [[IGNORE, IGNORE, 7, 1], [IGNORE, 1, IGNORE, IGNORE]]


def test_corpus_ends_with_the_end_token(tmp_path: Path) -> None:
    _, _, tokenizer, rows = rows_and_tokenizer(tmp_path)
    eos = tokenizer.token_to_id("<eos>")
    assert all(ids[-1] == eos and eos not in ids[:-1] and 0 < prompt < len(ids) - 1 for ids, prompt in rows)


@given(st.lists(st.integers(1, 60), min_size=4, max_size=40), st.integers(1, 4), st.integers(1, 30), st.integers(0, 9))
def test_batches_cover_the_corpus_pass_after_pass(lengths: list[int], batch: int, steps: int, seed: int) -> None:
    """Full batches of different documents; a pass leaves out no more than one short batch."""
    got = bucketed_batches(lengths, batch, steps, torch.Generator().manual_seed(seed))
    assert len(got) == steps and all(len(b) == batch for b in got)
    per_pass = len(lengths) // batch
    for start in range(0, steps, per_pass):
        seen = [i for b in got[start : start + per_pass] for i in b]
        assert len(set(seen)) == len(seen) and set(seen) <= set(range(len(lengths)))


def test_batches_hold_similar_lengths() -> None:
    """Padding is small: within a batch lengths differ by little more than the jitter."""
    lengths = torch.randint(1, 200, (400,), generator=torch.Generator().manual_seed(0)).tolist()
    batches = bucketed_batches(lengths, 8, 50, torch.Generator().manual_seed(0))
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert max(spread) < 30


def test_corpus_smaller_than_a_batch_raises_a_clear_error() -> None:
    """Without the error, the search for a first batch would not end."""
    with pytest.raises(IntroError, match=r"pretraining\.batch: 8 documents make a batch, the corpus has 3"):
        bucketed_batches([5, 5, 5], 8, 1, torch.Generator())
