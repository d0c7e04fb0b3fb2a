"""Muon against PyTorch's, and its Newton-Schulz iteration against the polynomial of singular values."""

from __future__ import annotations

import pytest
import torch

from intro.pretraining.optimizers import Muon, orthogonalised


@pytest.mark.parametrize("options", [
    {"weight_decay": 0.0},
    {"weight_decay": 0.1, "nesterov": False, "momentum": 0.8, "adjust_lr_fn": "match_rms_adamw"},
])  # fmt: skip
def test_muon_equals_torchs_up_to_rounding(options: dict) -> None:
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
    """Each matrix of a stack, in fp64, against the same polynomial of its singular values."""
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
