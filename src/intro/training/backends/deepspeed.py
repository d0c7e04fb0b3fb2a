"""The update under DeepSpeed's ZeRO: optimizer states, gradients or parameters sharded over data-parallel ranks."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Generator, nn

from intro.config import Hardware
from intro.model.scoring import head_of
from intro.training.backends.base import AdamW, Metrics
from intro.training.checkpoint import ENGINE
from intro.training.distributed import Ranks
from intro.training.update import Batch, Update
from intro.types import IntroError, install

BUCKET = 50_000_000  # gradients that ranks add up at once; each rank holds as many: DeepSpeed's own 5e8 are 1 to 2 GB


def settings(hardware: Hardware, gradient_clip: float) -> dict[str, Any]:
    """The engine's configuration."""
    zero: dict[str, Any] = {"stage": hardware.zero, "reduce_bucket_size": BUCKET}
    if hardware.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": bool(hardware.gpus)}
    return {
        "train_micro_batch_size_per_gpu": 1,  # asked for, and used for nothing: micro-batches are made here
        "gradient_accumulation_steps": 1,  # more would divide the loss
        "gradient_clipping": gradient_clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,  # torch's AdamW, the same as without DeepSpeed
        "zero_force_ds_cpu_optimizer": False,
        # weights; the masters that AdamW updates are fp32, and so are sums of gradients: a micro-batch's own go at once
        "bf16": {"enabled": hardware.dtype == "bfloat16", "immediate_grad_update": True},
        # sums over micro-batches and ranks in fp32: in bfloat16 they would depend on how a step was split
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "steps_per_print": sys.maxsize,
    }


class DeepSpeed:
    """ZeRO-1, 2 or 3. Under ZeRO-3 the replica is a full copy in the training dtype, refilled after each step."""

    def __init__(self, update: Update, adamw: AdamW, hardware: Hardware, ranks: Ranks) -> None:
        try:
            import deepspeed
        except ImportError:
            raise IntroError(f"hardware.zero: DeepSpeed is not installed; {install('gpu')}, or set it to 0") from None
        # DeepSpeed calls torch by names that torch has newer ones for: a warning per rank and collective
        warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
        self.ranks, self.update, policy = ranks, update, update.policy
        sharded = hardware.zero == 3
        self.replica = _copy(policy, getattr(torch, hardware.dtype)) if sharded else policy
        self.engine, *_ = deepspeed.initialize(
            model=update, optimizer=adamw.build(update), config=settings(hardware, adamw.gradient_clip)
        )
        self._gathered = deepspeed.zero.GatheredParameters
        if sharded:
            # Update.forward uses the head, not the module that owns it; unasked, DeepSpeed finds that out on the way
            deepspeed.zero.register_external_parameter(update, head_of(policy))

    def backward(self, batch: Batch, generator: Generator, last: bool) -> tuple[float, Metrics]:
        self.engine.set_gradient_accumulation_boundary(last)
        loss, metrics = self.engine(batch, generator)
        # DeepSpeed takes the mean over ranks; the weights already hold the counts of all of them, so a sum is wanted
        self.engine.backward(loss * self.ranks.size)
        return float(loss.detach()), metrics

    def step(self, lr: float) -> float:
        for group in self.engine.optimizer.param_groups:
            group["lr"] = lr
        self.engine.step()
        self._refill()
        return float(self.engine.get_global_grad_norm())

    @torch.no_grad()
    def _refill(self) -> None:
        if self.replica is self.update.policy:
            return
        # one parameter after the other, so that no second full copy is ever held
        for whole, part in zip(self.replica.parameters(), self.update.policy.parameters(), strict=True):
            with self._gathered([part]):
                whole.copy_(part)

    def save(self, folder: Path | None, step: int) -> dict[str, Any]:
        """A folder per checkpoint, so that the one before stays whole until state.pt names the new one."""
        tag = f"{ENGINE}{step}"
        self.engine.save_checkpoint(str(folder), tag=tag, save_latest=False)
        return {"engine": tag}

    def restore(self, state: dict[str, Any], folder: Path | None) -> None:
        try:
            found, _ = self.engine.load_checkpoint(str(folder), tag=state["engine"])
        except Exception:  # torch and DeepSpeed raise many kinds for missing or damaged files, or only warn
            found = None
        if found is None:
            raise IntroError(f"{folder}/{state['engine']}: damaged checkpoint; delete {folder} to start over")
        self._refill()

    def close(self) -> None:
        self.engine.destroy()


def _copy(policy: nn.Module, dtype: torch.dtype) -> nn.Module:
    replica = copy.deepcopy(policy).requires_grad_(False)
    for parameter in replica.parameters():  # not the buffers: rotary frequencies stay in fp32
        parameter.data = parameter.data.to(dtype)
    return replica
