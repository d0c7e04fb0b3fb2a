"""What a backend must do, and the optimizer's settings that all backends share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from intro.config import Training
from intro.training.distributed import Ranks
from intro.training.minibatches import MicroBatch
from intro.training.policy_loss import PolicyLoss

Metrics = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class AdamW:
    """AdamW with gradient clipping and a linear warm-up to a constant learning rate."""

    lr: float
    updates: int  # of the whole run
    betas: tuple[float, float]
    weight_decay: float
    gradient_clip: float
    warmup: float  # share of the updates

    @classmethod
    def of(cls, settings: Training, lr: float, updates: int) -> AdamW:
        return cls(lr, updates, settings.betas, settings.weight_decay, settings.gradient_clip, settings.warmup)

    def rate(self, update: int) -> float:
        """The learning rate of one update (0-based)."""
        return self.lr * min(1.0, (update + 1) / max(1, math.ceil(self.warmup * self.updates)))

    def build(self, policy: nn.Module) -> torch.optim.AdamW:
        return torch.optim.AdamW(policy.parameters(), lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


class Backend(Protocol):
    """Runs the passes with gradient and the optimizer. Every method is a collective operation of all ranks."""

    ranks: Ranks
    policy_loss: PolicyLoss
    replica: nn.Module  # the whole policy, for everything without gradient; `step` updates it

    def backward(self, batch: MicroBatch, generator: Generator, last: bool) -> tuple[float, Metrics]:
        """Add the gradient of a micro-batch; return its loss and metrics.

        All ranks must call it equally often; `last` marks the update's last micro-batch.
        """

    def step(self, lr: float) -> float:
        """Apply and clear the gradient of all ranks; return its norm before clipping."""

    def save(self, folder: Path | None, step: int) -> dict[str, Any]:
        """The backend's entries of state.pt. Files of its own, if any, go below `folder`."""

    def restore(self, state: dict[str, Any], folder: Path | None) -> None:
        """The inverse of `save`. Raises IntroError when the backend's own files are damaged."""

    def close(self) -> None:
        """Free what would disturb a second run in this process."""
