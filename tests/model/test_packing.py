"""Packed rows: each sequence has the values and gradients that it has alone, and the model stays usable."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intro.model.packing import Packing, run_packed
from intro.types import IntroError
from toy import random_model, random_tokens

VOCABULARY = 20


def ragged(lengths: list[int], seed: int = 0) -> list[tuple[int, ...]]:
    g = torch.Generator().manual_seed(seed)
    return [random_tokens(n, VOCABULARY, g) for n in lengths]


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
def test_packed_equals_unpacked(family: str) -> None:
    """Hidden states and every weight's gradient of ragged sequences, against one sequence at a time by transformers."""
    rows, twin = ragged([3, 9, 1, 5, 9]), random_model(family).double()
    model = copy.deepcopy(twin)
    packed = run_packed(model, rows)
    alone = torch.cat([twin.model(torch.tensor([row]), use_cache=False).last_hidden_state[0] for row in rows])
    torch.testing.assert_close(packed, alone, atol=1e-10, rtol=1e-10)
    weights = torch.randn(packed.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for hidden in (packed, alone):
        (hidden * weights).sum().backward()
    for (name, a), b in zip(model.model.named_parameters(), twin.model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-10, rtol=1e-10, msg=name)


def test_recomputed_activations_see_the_packing() -> None:
    """Gradient checkpointing recomputes layers in the backward pass with the same packing."""
    rows, model = ragged([2, 7, 4]), random_model("qwen3").double()
    run_packed(model, rows).square().sum().backward()
    wanted = [p.grad.clone() for p in model.model.parameters()]
    model.zero_grad()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    run_packed(model.train(), rows).square().sum().backward()
    for p, grad in zip(model.model.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, grad)


def test_other_uses_of_the_model_are_unchanged() -> None:
    """Padded batches with a mask, and generation, give the same results after a packed pass."""
    model = random_model()
    ids = torch.tensor([[0, 0, 4, 5, 6], [1, 2, 3, 4, 5]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])

    def used() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            logits = model(ids, attention_mask=mask).logits[:, -1]
        return logits, model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=6, pad_token_id=0)

    before = used()
    run_packed(model, ragged([3, 4]))
    for a, b in zip(used(), before, strict=True):
        torch.testing.assert_close(a, b)


def test_a_saved_model_does_not_name_the_packed_attention(tmp_path) -> None:
    model = random_model()
    run_packed(model, ragged([3]))
    model.save_pretrained(tmp_path)
    assert "packed" not in (tmp_path / "config.json").read_text()


def test_windows_are_refused() -> None:
    model = random_model()
    model.model.layers[0].self_attn.sliding_window = 4
    with pytest.raises(IntroError, match="found a sliding window"):
        run_packed(model, ragged([3]))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_spreading_and_gathering_are_inverse(lengths: list[int]) -> None:
    """Token order is kept, padding adds no gradient, and positions start at 0 in each sequence."""
    packing, total = Packing.of(lengths, torch.device("cpu")), sum(lengths)
    x = torch.arange(float(total)).requires_grad_()
    spread = packing.spread.take(x)
    assert spread.shape == (len(lengths) * max(lengths),)
    back = packing.gather.take(spread)
    assert torch.equal(back, x)
    (grad,) = torch.autograd.grad((back * torch.arange(float(total))).sum(), x)
    assert torch.equal(grad, torch.arange(float(total)))
    assert packing.positions.tolist() == [t for n in lengths for t in range(n)]
