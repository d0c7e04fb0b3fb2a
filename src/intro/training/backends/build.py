"""From a config's hardware to a backend."""

from __future__ import annotations

from intro.config import Hardware
from intro.training.backends.base import AdamW, Backend
from intro.training.backends.torch import Torch
from intro.training.distributed import join
from intro.training.policy_loss import PolicyLoss


def build_backend(policy_loss: PolicyLoss, adamw: AdamW, hardware: Hardware) -> Backend:
    """PyTorch, or DeepSpeed where `hardware.zero` names a stage; this process is one of its ranks."""
    if hardware.zero == 0:
        return Torch(policy_loss, adamw)
    from intro.training.backends.deepspeed import DeepSpeed  # an extra

    return DeepSpeed(policy_loss, adamw, hardware, join(hardware))
