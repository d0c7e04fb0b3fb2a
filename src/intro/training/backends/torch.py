"""The update in plain PyTorch: one process, fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Generator, nn

from intro.training.backends.base import AdamW, Metrics
from intro.training.distributed import ALONE
from intro.training.minibatches import MicroBatch
from intro.training.policy_loss import PolicyLoss


class Torch:
    """The replica is the policy itself."""

    ranks = ALONE

    def __init__(self, policy_loss: PolicyLoss, adamw: AdamW) -> None:
        self.policy_loss, self.replica, self.gradient_clip = policy_loss, policy_loss.policy, adamw.gradient_clip
        self.adamw = adamw.build(policy_loss.policy)

    def backward(self, batch: MicroBatch, generator: Generator, last: bool) -> tuple[float, Metrics]:
        loss, metrics = self.policy_loss(batch, generator)
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
