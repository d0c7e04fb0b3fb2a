"""Normalisation: the one place where a token's share of the loss is decided, from global counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intro.objectives import rationale_weights

ROOT = Path(__file__).resolve().parents[2]
kept = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5)), min_size=1, max_size=20)


def tensors(rationales: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths, prompts = zip(*rationales, strict=True)
    return torch.tensor(lengths), torch.tensor(prompts)


def test_by_hand() -> None:
    """Prompt 4 kept two rationales of 2 and 5 tokens, prompt 9 one of 10."""
    lengths, prompts = torch.tensor([2, 5, 10]), torch.tensor([4, 4, 9])
    wanted = {
        "prompt": [1 / (2 * 2 * 2), 1 / (5 * 2 * 2), 1 / (10 * 1 * 2)],
        "rationale": [1 / (2 * 3), 1 / (5 * 3), 1 / (10 * 3)],
        "token": [1 / 17] * 3,
        "sum": [1 / 3] * 3,
    }
    for normalisation, weights in wanted.items():
        got = rationale_weights(lengths, prompts, normalisation)
        torch.testing.assert_close(got, torch.tensor(weights, dtype=torch.float64))


@given(kept)
def test_means_add_up_to_one(rationales: list[tuple[int, int]]) -> None:
    """Summed over all tokens, every mean has weight 1; `sum` has the mean length."""
    lengths, prompts = tensors(rationales)
    for normalisation in ("prompt", "rationale", "token"):
        total = (lengths * rationale_weights(lengths, prompts, normalisation)).sum()
        assert float(total) == pytest.approx(1)
    total = (lengths * rationale_weights(lengths, prompts, "sum")).sum()
    assert float(total) == pytest.approx(float(lengths.double().mean()))


@given(kept)
def test_prompts_and_rationales_count_alike(rationales: list[tuple[int, int]]) -> None:
    """`prompt` gives each prompt the same share and `rationale` each rationale, whatever their length and number."""
    lengths, prompts = tensors(rationales)
    share = lengths * rationale_weights(lengths, prompts, "prompt")
    for p in set(prompts.tolist()):
        assert float(share[prompts == p].sum()) == pytest.approx(1 / len(set(prompts.tolist())))
    share = lengths * rationale_weights(lengths, prompts, "rationale")
    torch.testing.assert_close(share, torch.full_like(share, 1 / len(lengths)))


def test_unknown_normalisation_raises() -> None:
    with pytest.raises(ValueError, match="expected prompt, rationale, token or sum, found 'mean'"):
        rationale_weights(torch.tensor([1]), torch.tensor([0]), "mean")


def test_reading_a_config_imports_no_torch() -> None:
    """It imports every file of objectives/, and most commands of the workflow need no torch."""
    code = "import sys; from intro.config import load; load('config/tiny.yaml'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", "import torch inside the functions of objectives/ that need it"
