"""Muon for the matrices inside the layers, AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.optim._muon import _adjust_lr

from intro.config import Pretraining


class Muon(torch.optim.Muon):
    """PyTorch's Muon, with Newton-Schulz in the precision of the weights and for all matrices of one shape at once.

    PyTorch's casts to bfloat16. A processor without bfloat16 products emulates them, which takes longer than the rest
    of a step (benchmarks/pretraining.py), and processors with and without them would train different base models.
    """

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            weights: list[nn.Parameter] = []
            gradients: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, weights, gradients, momenta)
            if not weights:
                continue
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            by_shape: dict[torch.Size, list[int]] = defaultdict(list)
            for i, weight in enumerate(weights):
                by_shape[weight.shape].append(i)
            iteration = group["ns_coefficients"], group["ns_steps"], group["eps"]
            for shape, members in by_shape.items():
                directions = orthogonalised(torch.stack([updates[i] for i in members]), *iteration)
                rate = _adjust_lr(group["lr"], group["adjust_lr_fn"], shape)
                torch._foreach_add_([weights[i] for i in members], directions.unbind(), alpha=-rate)


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """The Newton-Schulz iterations of PyTorch's Muon: matrices [k, rows, columns] with singular values near 1."""
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Optimizers:
    """Muon on the matrices inside the layers, AdamW on embeddings, norms and biases; linear decay to zero."""

    def __init__(self, model: nn.Module, settings: Pretraining, muon: type[torch.optim.Muon] = Muon) -> None:
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.parts = [
            muon(matrices, lr=settings.muon_lr, weight_decay=0.0),
            torch.optim.AdamW(rest, lr=settings.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.peaks = [settings.muon_lr, settings.adamw_lr]
        self.steps, self.warmup = settings.steps, max(1, settings.steps // 20)

    def step(self, step: int) -> None:
        share = min(1.0, (step + 1) / self.warmup) * (1 - step / self.steps)
        for optimizer, peak in zip(self.parts, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
