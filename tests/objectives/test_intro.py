"""InTRO: what it keeps, Eq. 7 by hand, and that each of its options reaches the loss."""

from __future__ import annotations

from math import log as ln

import pytest
import torch

from hand import log, outcomes, random_batch, scored
from intro import intro_loss
from intro.objectives import Posterior, build
from intro.types import Signal


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_it_keeps_only_correct_and_complete_rationales() -> None:
    """Algorithm 1 drops wrong ones; a cut-off one has no end; there is no advantage that could push down."""
    credit = build("intro").credit(
        outcomes([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], [[False, False, True], [False, True, False]])
    )
    assert credit.keep.tolist() == [[True, False, False], [False, False, True]]
    assert (credit.advantage[credit.keep] == 1).all()
    assert build("intro").needs == {Signal.ROLLOUTS, Signal.POSTERIOR}


def test_eq_7_with_the_own_token_alone_by_hand() -> None:
    """n = 1: -weight * min(p'/p, c) * log p, here w = 0.8/0.2 = 4 and 0.1/0.5 = 0.2."""
    batch = scored(log([[0.2, 0.8], [0.5, 0.5]]), [0, 1], [0, 0], [1.0], posterior_hidden=log([[0.8, 0.2], [0.9, 0.1]]))
    weights = torch.tensor([0.5, 0.25], dtype=torch.float64)
    free = build("intro", n=1).loss(batch, weights, seeded())
    assert free.loss.item() == pytest.approx(0.5 * 4 * ln(5) + 0.25 * 0.2 * ln(2))
    torch.testing.assert_close(free.metrics["correction_mean"], torch.tensor([[4.0], [0.2]]).double())
    assert free.metrics["clipped_share"].tolist() == [[0], [0]]
    held = build("intro", n=1, clip=3.0).loss(batch, weights, seeded())
    assert held.loss.item() == pytest.approx(0.5 * 3 * ln(5) + 0.25 * 0.2 * ln(2))
    assert held.metrics["clipped_share"].tolist() == [[1], [0]]


def test_eq_7_over_the_vocabulary_by_hand() -> None:
    """n infinite: the cross-entropy from the posterior to the policy, -sum p' log p."""
    batch = scored(log([[0.2, 0.8]]), [0], [0], [1.0], posterior_hidden=log([[0.7, 0.3]]))
    loss = build("intro", n="infinite").loss(batch, torch.tensor([2.0]).double(), seeded()).loss
    assert loss.item() == pytest.approx(2 * (0.7 * ln(5) + 0.3 * ln(1.25)))


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, {"n": 5, "clip": 200.0}),
        ({"n": 3, "clip": 1.5}, {"n": 3, "clip": 1.5}),
        ({"own_token": "unit"}, {"n": 5, "clip": 200.0, "own_token": "unit"}),
        ({"own_token": "excluded", "control_variate": True},
         {"n": 5, "clip": 200.0, "own_token": "excluded", "baseline": 1.0}),
        ({"n": "infinite"}, {"n": None, "clip": 200.0}),
    ],
)  # fmt: skip
def test_options_reach_the_loss(options: dict, arguments: dict) -> None:
    """The config's options are those of intro_loss; the defaults are the paper's n = 5, c = 200."""
    batch = random_batch(3)
    weights = torch.linspace(0.1, 1, len(batch.tokens), dtype=torch.float64)
    got = build("intro", **options).loss(batch, weights, seeded()).loss
    wanted = intro_loss(
        batch.policy_hidden, batch.posterior_hidden, batch.lm_head, batch.tokens, weights,
        generator=seeded(), **arguments,
    ).loss  # fmt: skip
    assert got == wanted
    if options:
        assert got != build("intro").loss(batch, weights, seeded()).loss


def test_no_gradient_reaches_the_posterior() -> None:
    """w is a fixed proposal: neither the posterior's states nor its head learn."""
    batch = random_batch(4)
    posterior = batch.posterior_hidden.clone().requires_grad_()
    head = batch.lm_head.detach().clone().requires_grad_()
    loss = intro_loss(
        batch.policy_hidden, posterior, batch.lm_head, batch.tokens, torch.ones(len(batch.tokens)),
        n=3, clip=200.0, posterior_head=head, generator=seeded(),
    ).loss  # fmt: skip
    assert torch.autograd.grad(loss, [posterior, head], allow_unused=True) == (None, None)


def test_source_of_the_posterior_is_the_configs() -> None:
    objective = build("intro", posterior="average", decay=0.7, prompt="posterior_2", answer="wrong")
    assert objective.posterior_source == Posterior("average", 0.7, "posterior_2", "wrong")
