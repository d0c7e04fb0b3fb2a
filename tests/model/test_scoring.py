"""Forward passes of training: packing and micro-batches change memory and speed but no value."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from intro.model.scoring import Rationale, head_of, logprob_pass, microbatches, pack, response_hidden
from toy import random_model, random_tokens

VOCABULARY = 20


def rationales(rows: int, seed: int = 0) -> list[Rationale]:
    g = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 12, (rows, 2), generator=g).tolist()
    return [
        Rationale(random_tokens(p, VOCABULARY, g), random_tokens(z, VOCABULARY, g), i) for i, (p, z) in enumerate(sizes)
    ]


def test_packing_does_not_change_hidden_states() -> None:
    """Rationales of many lengths in one pass have the values and gradients of one pass each."""
    for family in ("qwen2", "qwen3"):
        model, rows = random_model(family).double(), rationales(7)
        together = response_hidden(model, [r.prompt for r in rows], [r.tokens for r in rows])
        single = torch.cat([response_hidden(model, [r.prompt], [r.tokens]) for r in rows])
        torch.testing.assert_close(together, single, atol=1e-10, rtol=1e-10)
        weight = model.model.layers[0].mlp.up_proj.weight
        got = torch.autograd.grad(together.square().sum(), weight)[0]
        torch.testing.assert_close(got, torch.autograd.grad(single.square().sum(), weight)[0])


def test_hidden_states_predict_the_response_and_not_the_prompt() -> None:
    """Position t - 1 predicts token t: the head's logits are the whole model's at the position before each token."""
    model = random_model(tied=False)
    (row,) = rationales(1, seed=3)
    with torch.no_grad():
        hidden = response_hidden(model, [row.prompt], [row.tokens])
        logits = model(torch.tensor([[*row.prompt, *row.tokens]])).logits[0]
    wanted = logits[len(row.prompt) - 1 : -1]
    torch.testing.assert_close(hidden @ head_of(model).T, wanted, atol=1e-5, rtol=1e-5)


def test_logprob_pass_equals_one_pass_per_row() -> None:
    """For any budget, and in the caller's order."""
    model, rows = random_model("qwen3"), rationales(9, seed=1)
    for budget in (1, 40, 10_000):
        parts = logprob_pass(model, rows, budget)
        for row, part in zip(rows, parts, strict=True):
            ids = torch.tensor([[*row.prompt, *row.tokens]])
            with torch.no_grad():
                logp = model(ids).logits[0].log_softmax(-1)[len(row.prompt) - 1 : -1]
            wanted = logp[torch.arange(len(row.tokens)), torch.tensor(row.tokens)]
            torch.testing.assert_close(part, wanted, atol=1e-5, rtol=1e-5)
            assert not part.requires_grad


def test_pack_concatenates_rationales() -> None:
    rows = [Rationale((9,), (1, 2), 0), Rationale((9,), (3,), 0), Rationale((9,), (4, 5, 6), 1)]
    tokens, owner = pack(rows)
    assert tokens.tolist() == [1, 2, 3, 4, 5, 6] and owner.tolist() == [0, 0, 1, 2, 2, 2]


sizes = st.tuples(st.integers(1, 30), st.integers(1, 60), st.integers(0, 40))


@given(st.lists(sizes, min_size=1, max_size=40), st.integers(1, 400))
def test_microbatches_partition_within_the_budget(shapes: list[tuple[int, int, int]], budget: int) -> None:
    """Every rationale is in one group, and a group of several fits the budget with the longer of their prompts."""
    rows = [Rationale((0,) * p, (0,) * z, i, (0,) * q if q else None) for i, (p, z, q) in enumerate(shapes)]
    groups = microbatches(rows, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))
    for group in groups:
        tokens = [shapes[i][1] + max(shapes[i][0], shapes[i][2]) for i in group]
        assert len(group) == 1 or (sum(tokens) <= budget and len(tokens) * max(tokens) <= 3 * budget)


def test_one_long_rationale_does_not_stretch_many_short_ones() -> None:
    """Attention pads rows to the longest: 60 short ones in its group would be 61,000 positions."""
    rows = [Rationale((0,), (0,) * length, i) for i, length in enumerate([999, *[19] * 60])]
    assert [len(group) for group in microbatches(rows, 4000)] == [12, 49]


@given(st.lists(sizes, min_size=2, max_size=20))
def test_a_large_budget_makes_one_microbatch(shapes: list[tuple[int, int, int]]) -> None:
    """A larger budget gives fewer passes."""
    rows = [Rationale((0,) * p, (0,) * z, i) for i, (p, z, _) in enumerate(shapes)]
    assert len(microbatches(rows, 90 * len(rows))) == 1
