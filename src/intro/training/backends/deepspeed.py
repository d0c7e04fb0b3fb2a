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
from intro.training.minibatches import MicroBatch
from intro.training.policy_loss import PolicyLoss
from intro.types import IntroError, install

# Gradients that one collective operation sums. Each rank holds a buffer of this size: DeepSpeed's default of 5e8
# takes 1 to 2 GB.
BUCKET = 50_000_000


def engine_config(hardware: Hardware, gradient_clip: float) -> dict[str, Any]:
    """DeepSpeed's configuration for this hardware."""
    zero: dict[str, Any] = {"stage": hardware.zero, "reduce_bucket_size": BUCKET}
    if hardware.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": bool(hardware.gpus)}
    return {
        "train_micro_batch_size_per_gpu": 1,  # required by DeepSpeed, unused
        "gradient_accumulation_steps": 1,  # a larger number would divide the loss
        "gradient_clipping": gradient_clip,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,  # PyTorch's AdamW, as in the torch backend
        "zero_force_ds_cpu_optimizer": False,
        # bfloat16 weights, fp32 master weights; the bfloat16 gradient of a micro-batch is freed at once
        "bf16": {"enabled": hardware.dtype == "bfloat16", "immediate_grad_update": True},
        # fp32 sums over micro-batches and ranks: bfloat16 sums would depend on how a step is split
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "steps_per_print": sys.maxsize,
    }


class DeepSpeed:
    """ZeRO-1, 2 or 3. Under ZeRO-3 the replica is a full copy in the training dtype, updated after each step."""

    def __init__(self, policy_loss: PolicyLoss, adamw: AdamW, hardware: Hardware, ranks: Ranks) -> None:
        try:
            import deepspeed
        except ImportError:
            raise IntroError(f"hardware.zero: DeepSpeed is not installed; {install('gpu')}, or set it to 0") from None
        # DeepSpeed calls deprecated functions of torch.distributed: one warning per rank and collective operation
        warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
        self.ranks, self.policy_loss, policy = ranks, policy_loss, policy_loss.policy
        sharded = hardware.zero == 3
        self.replica = _copy(policy, getattr(torch, hardware.dtype)) if sharded else policy
        self.engine, *_ = deepspeed.initialize(
            model=policy_loss,
            optimizer=adamw.build(policy_loss),
            config=engine_config(hardware, adamw.gradient_clip),
        )
        self._gathered = deepspeed.zero.GatheredParameters
        if sharded:
            # PolicyLoss.forward reads the head, but does not call the module that owns it
            deepspeed.zero.register_external_parameter(policy_loss, head_of(policy))

    def backward(self, batch: MicroBatch, generator: Generator, last: bool) -> tuple[float, Metrics]:
        self.engine.set_gradient_accumulation_boundary(last)
        loss, metrics = self.engine(batch, generator)
        # DeepSpeed averages over ranks; the weights hold the counts of all ranks, so the gradients must be summed
        self.engine.backward(loss * self.ranks.size)
        return float(loss.detach()), metrics

    def step(self, lr: float) -> float:
        for group in self.engine.optimizer.param_groups:
            group["lr"] = lr
        self.engine.step()
        self._update_replica()
        return float(self.engine.get_global_grad_norm())

    @torch.no_grad()
    def _update_replica(self) -> None:
        if self.replica is self.policy_loss.policy:
            return
        # one parameter at a time, so that memory never holds a second full copy
        for whole, part in zip(self.replica.parameters(), self.policy_loss.policy.parameters(), strict=True):
            with self._gathered([part]):
                whole.copy_(part)

    def save(self, folder: Path | None, step: int) -> dict[str, Any]:
        """A folder per saved state: the previous one stays complete until state.pt names the new one."""
        tag = f"{ENGINE}{step}"
        self.engine.save_checkpoint(str(folder), tag=tag, save_latest=False)
        return {"engine": tag}

    def restore(self, state: dict[str, Any], folder: Path | None) -> None:
        try:
            loaded, _ = self.engine.load_checkpoint(str(folder), tag=state["engine"])
        except Exception:  # torch and DeepSpeed raise many types for missing or damaged files, or only warn
            loaded = None
        if loaded is None:
            raise IntroError(f"{folder}/{state['engine']}: damaged checkpoint; delete {folder} to start over")
        self._update_replica()

    def close(self) -> None:
        self.engine.destroy()


def _copy(policy: nn.Module, dtype: torch.dtype) -> nn.Module:
    replica = copy.deepcopy(policy).requires_grad_(False)
    for parameter in replica.parameters():  # not the buffers: rotary frequencies stay in fp32
        parameter.data = parameter.data.to(dtype)
    return replica
