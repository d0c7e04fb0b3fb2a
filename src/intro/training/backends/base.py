"""What runs an update: plain torch in one process, or an engine that spreads it over many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Generator, Tensor, nn

from intro.training.distributed import ALONE, Ranks, join
from intro.training.update import Batch, Update

if TYPE_CHECKING:
    from intro.config import Hardware, Training

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
    """Every method is a meeting of all ranks."""

    ranks: Ranks
    replica: nn.Module  # the policy whole, for everything without gradient; it follows every step

    def backward(self, batch: Batch, generator: Generator, last: bool) -> tuple[float, Metrics]:
        """Add this micro-batch's gradient; its loss and metrics. All ranks have equally many until the `last`."""
        ...

    def step(self, lr: float) -> float:
        """Apply and clear the gradient of all ranks; its norm before clipping."""
        ...

    def save(self, folder: Path | None, step: int) -> dict[str, Any]:
        """What a checkpoint's state.pt needs to know; the engine's own files go below `folder`."""
        ...

    def restore(self, state: dict[str, Any], folder: Path | None) -> None: ...

    def close(self) -> None:
        """Let go of what a second run in this process would trip over."""
        ...


class Torch:
    """One process; the replica is the policy itself."""

    ranks = ALONE

    def __init__(self, update: Update, adamw: AdamW) -> None:
        self.update, self.replica, self.gradient_clip = update, update.policy, adamw.gradient_clip
        self.adamw = adamw.build(update.policy)

    def backward(self, batch: Batch, generator: Generator, last: bool) -> tuple[float, Metrics]:
        loss, metrics = self.update(batch, generator)
        loss.backward()
        return float(loss.detach()), metrics

    def step(self, lr: float) -> float:
        norm = nn.utils.clip_grad_norm_(self.replica.parameters(), self.gradient_clip)
        for group in self.adamw.param_groups:
            group["lr"] = lr
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return float(norm)

    def save(self, folder: Path | None, step: int) -> dict[str, Any]:
        return {"policy": self.replica.state_dict(), "adamw": self.adamw.state_dict()}

    def restore(self, state: dict[str, Any], folder: Path | None) -> None:
        self.replica.load_state_dict(state["policy"])
        self.adamw.load_state_dict(state["adamw"])

    def close(self) -> None:
        pass


def build_backend(update: Update, adamw: AdamW, hardware: Hardware) -> Backend:
    """The backend that the hardware asks for, this process being one of its ranks."""
    if hardware.zero == 0:
        return Torch(update, adamw)
    from intro.training.backends.deepspeed import DeepSpeed

    return DeepSpeed(update, adamw, hardware, join(hardware))
