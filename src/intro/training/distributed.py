"""The data-parallel processes of one run: the rank of this process, and the collective operations between ranks."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from intro.config import Hardware
from intro.types import IntroError

T = TypeVar("T")
TIMEOUT = timedelta(days=1)  # of a collective operation: rollouts differ in length, and the launcher notices dead ranks


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `size`. `gather`, `gather_in_order`, `max` and `barrier` are collective operations."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and shows progress."""
        return self.rank == 0

    @property
    def name(self) -> tuple[int, ...]:
        """The part of a generator's name that differs between ranks; empty for a single process."""
        return (self.rank,) if self.size > 1 else ()

    def shard(self, whole: Sequence[T]) -> list[T]:
        """The items of this rank: item i belongs to rank i % size."""
        return list(whole[self.rank :: self.size])

    def gather(self, mine: T) -> list[T]:
        """The values of all ranks, in the order of ranks. Tensors must be on the CPU."""
        if self.size == 1:
            return [mine]
        from torch import distributed

        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, mine)
        return values

    def gather_in_order(self, mine: Sequence[T]) -> list[T]:
        """The inverse of `shard`: the items of all ranks in their first order."""
        shards = self.gather(list(mine))
        whole: list[Any] = [None] * sum(map(len, shards))
        for rank, shard in enumerate(shards):
            whole[rank :: self.size] = shard
        return whole

    def max(self, mine: int) -> int:
        return max(self.gather(mine))

    def barrier(self) -> None:
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


ALONE = Ranks()


@cache
def join(hardware: Hardware) -> Ranks:
    """Join the process group of this run; plain PyTorch has none.

    The launcher's environment variables name this rank and the address of the first. Raises IntroError when the
    launcher started another number of processes than the config names, or where a GPU is missing.
    """
    if hardware.zero == 0:
        return ALONE
    import torch

    if "RANK" not in os.environ:
        _be_the_only_rank()
    rank, size, local = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if size != hardware.processes:
        raise IntroError(
            f"hardware.processes: expected {hardware.processes} processes, found {size}; "
            "start as many with INTRO_LAUNCH, or change the config"
        )
    # DeepSpeed would otherwise choose by itself, and take a GPU that the config does not name
    os.environ["DS_ACCELERATOR"] = "cuda" if hardware.gpus else "cpu"
    if hardware.gpus:
        if local >= torch.cuda.device_count():
            raise IntroError(
                f"hardware.gpus: rank {rank} needs CUDA device {local}, found {torch.cuda.device_count()} devices; "
                "lower gpus and processes in the config, or run on a machine with more GPUs"
            )
        torch.cuda.set_device(local)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if hardware.gpus else "gloo", timeout=TIMEOUT)
    return Ranks(rank, size)


def _be_the_only_rank() -> None:
    """Set the variables of a launcher for a single process that none started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def device_of(hardware: Hardware) -> str:
    """The device on which this process trains."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if hardware.gpus else "cpu"
