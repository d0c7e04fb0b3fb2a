"""The optimizer's schedule and clipping, and the state of the torch backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import steps
from intro.config import Hardware
from intro.objectives import build
from intro.training.backends.base import AdamW
from intro.training.backends.build import build_backend
from intro.training.backends.torch import Torch
from intro.training.minibatches import IDLE
from intro.training.policy_loss import PolicyLoss
from toy import gradients, random_model

ADAMW = AdamW(lr=0.5, updates=10, betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, warmup=0.3)


def linear() -> Torch:
    return Torch(PolicyLoss(torch.nn.Linear(3, 2), build("sft")), ADAMW)


def test_warm_up_is_linear_and_then_constant() -> None:
    """30 % of 10 updates: a third, two thirds, the whole rate, and so on."""
    assert [ADAMW.rate(i) for i in range(5)] == pytest.approx([0.5 / 3, 1 / 3, 0.5, 0.5, 0.5])
    assert replace(ADAMW, warmup=0.0).rate(0) == 0.5


def test_a_step_uses_the_rate_it_is_given() -> None:
    """AdamW's first step moves every weight by the rate, whatever the gradient's size."""
    backend = linear()
    before = [p.detach().clone() for p in backend.replica.parameters()]
    backend.replica(torch.ones(3)).sum().backward()
    backend.step(0.125)
    for old, new in zip(before, backend.replica.parameters(), strict=True):
        torch.testing.assert_close(old - new, torch.full_like(old, 0.125))


def test_gradient_is_clipped_by_its_whole_norm() -> None:
    """The norm before clipping is reported; AdamW's first moment then holds a tenth of the clipped gradient."""
    backend = linear()
    (backend.replica(torch.ones(3)).sum() * 10).backward()
    assert backend.step(0.5) == pytest.approx((6 * 100 + 2 * 100) ** 0.5)
    moments = [s["exp_avg"] for s in backend.adamw.state.values()]
    norm = sum(m.square().sum() for m in moments).sqrt()
    assert float(norm) == pytest.approx(0.1, rel=1e-4)
    assert all(p.grad is None for p in backend.replica.parameters())


def test_no_deepspeed_without_zero() -> None:
    """The default hardware is plain torch, whose replica is the policy itself."""
    policy = random_model()
    backend = build_backend(PolicyLoss(policy, build("sft")), ADAMW, Hardware())
    assert isinstance(backend, Torch) and backend.replica is policy and backend.ranks.size == 1


@pytest.mark.parametrize("name", ["sft", "latro", "raft++", "gpg", "grpo", "intro"])
def test_an_idle_micro_batch_touches_every_weight_and_changes_none(name: str) -> None:
    """A rank without further micro-batches adds a gradient of zeros, not of nan, and no metrics."""
    policy = random_model(tied=False)
    backend = Torch(PolicyLoss(policy, build(name)), ADAMW)
    loss, metrics = backend.backward(IDLE, torch.Generator(), last=True)
    found = gradients(policy)
    assert (loss, metrics) == (0.0, {}) and len(found) == len(list(policy.parameters()))
    assert not any(g.any() for g in found)


def test_saved_and_restored_is_bit_for_bit_the_same(tmp_path) -> None:
    whole, second = steps.resumed("grpo", True, Hardware(), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))
