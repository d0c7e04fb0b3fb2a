"""Base models: the loss goes down, every document is used, prompts and padding are not learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import toy
from intro.config import parse
from intro.model.load import load_model
from intro.pretraining import train
from intro.pretraining.train import (
    IGNORE,
    Muon,
    bucketed_batches,
    build_model,
    collate,
    encode_corpus,
    orthogonalised,
    pretrain,
    save_base,
)
from intro.tasks.registry import load_source
from intro.types import IntroError


def rows_and_tokenizer(root: Path):
    config = parse(toy.mapping(root))
    source = load_source(config.data, config.prompts, config.seed)
    tokenizer = source.build_tokenizer()
    return config, source, tokenizer, encode_corpus(source.corpus("clean", 96), tokenizer)


def test_training_reduces_the_loss_and_repeats(tmp_path: Path) -> None:
    """From about ln(vocabulary) down by a third in 40 steps; the same seed gives the same model."""
    config, _, tokenizer, rows = rows_and_tokenizer(tmp_path)
    settings = config.pretraining.model_copy(update={"adamw_lr": 0.03, "muon_lr": 0.1})
    runs = []
    for _ in range(2):
        model = build_model(config.models["qwen2-s"], tokenizer, 128, seed=3)
        runs.append((pretrain(model, rows, settings), model))
    losses = runs[0][0]
    assert len(losses) == 40 and not runs[0][1].training
    assert abs(losses[0] - torch.tensor(float(tokenizer.get_vocab_size())).log()) < 0.5
    assert sum(losses[-5:]) < 0.67 * sum(losses[:5])
    assert losses == runs[1][0]
    for a, b in zip(runs[0][1].parameters(), runs[1][1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_saved_base_reads_back(tmp_path: Path) -> None:
    """Weights, end token and tokenizer survive the folder."""
    config, source, tokenizer, _ = rows_and_tokenizer(tmp_path)
    model = build_model(config.models["qwen3-m"], tokenizer, 128, seed=1)
    save_base(model, tokenizer, source.tokenizer_settings(), tmp_path / "m")
    loaded, ids = load_model(tmp_path / "m"), torch.tensor([[5, 6, 7]])
    assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
    assert loaded.config.eos_token_id == tokenizer.token_to_id("<eos>") and loaded.config.model_type == "qwen3"


def test_collate_learns_responses_alone() -> None:
    ids, labels = collate([([5, 6, 7, 1], 2), ([8, 1], 1)])
    assert ids.tolist() == [[5, 6, 7, 1], [8, 1, 0, 0]]
    assert labels.tolist() == [[IGNORE, IGNORE, 7, 1], [IGNORE, 1, IGNORE, IGNORE]]


def test_every_token_weighs_alike_in_every_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The loss is divided by one constant, the usual number of response tokens, whatever the length of a batch."""
    config, _, tokenizer, rows = rows_and_tokenizer(tmp_path)
    divisors = []
    monkeypatch.setattr(train, "train_step", lambda model, rows, tokens, *_: divisors.append(tokens) or 0.0)
    pretrain(build_model(config.models["qwen2-s"], tokenizer, 128, seed=3), rows, config.pretraining)
    responses = sum(len(ids) - prompt for ids, prompt in rows)
    assert set(divisors) == {config.pretraining.batch * responses / len(rows)}


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


def test_corpus_smaller_than_a_batch_is_one_sentence() -> None:
    """It would otherwise look for a first batch forever."""
    with pytest.raises(IntroError, match=r"pretraining\.batch: 8 documents wanted, the corpus has 3"):
        bucketed_batches([5, 5, 5], 8, 1, torch.Generator())


@pytest.mark.parametrize("options", [
    {"weight_decay": 0.0},
    {"weight_decay": 0.1, "nesterov": False, "momentum": 0.8, "adjust_lr_fn": "match_rms_adamw"},
])  # fmt: skip
def test_muon_is_torchs_but_for_rounding(options: dict) -> None:
    """Five steps on fresh gradients, matrices that share a shape and one without gradient: torch's rounds to bf16."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(24, 24), (12, 24), (24, 12), (24, 24), (40, 8)]
    theirs = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    ours = [torch.nn.Parameter(p.detach().clone()) for p in theirs]
    start = [p.detach().clone() for p in ours]
    optimizers = torch.optim.Muon(theirs, lr=0.02, **options), Muon(ours, lr=0.02, **options)
    for _ in range(5):
        for a, b in zip(theirs[:-1], ours[:-1], strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b, before in zip(theirs[:-1], ours[:-1], start[:-1], strict=True):
        assert (a - b).norm() < 0.02 * (a - before).norm()
    assert torch.equal(ours[-1], start[-1])


@pytest.mark.parametrize("rows, columns", [(24, 24), (10, 30), (30, 10)])
def test_newton_schulz_flattens_singular_values(rows: int, columns: int) -> None:
    """Each matrix of a stack by itself, in fp64 beside the same polynomial of its singular values."""
    stack = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
    a, b, c = 3.4445, -4.7750, 2.0315
    got = orthogonalised(stack, (a, b, c), 5, 1e-7)
    for matrix, result in zip(stack, got, strict=True):
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
        s = s / matrix.norm()
        for _ in range(5):
            s = a * s + b * s**3 + c * s**5
        assert torch.allclose(result, u * s @ v, atol=1e-9)
        assert s.median() > 0.6 and s.max() < 1.3
