"""The data-parallel processes of one run: which of them this is, and what they tell each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from intro.types import IntroError

if TYPE_CHECKING:
    from intro.config import Hardware

T = TypeVar("T")
PATIENCE = timedelta(days=1)  # rollouts differ in length; a rank that died is noticed by the launcher


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
        """Makes a generator's name this rank's own; empty for one process alone."""
        return (self.rank,) if self.size > 1 else ()

    def shard(self, whole: Sequence[T]) -> list[T]:
        """This rank's items: i belongs to rank i % size, so every stretch of `whole` is spread over the ranks."""
        return list(whole[self.rank :: self.size])

    def gather(self, mine: T) -> list[T]:
        """What every rank has, in their order. Tensors must be on the CPU."""
        if self.size == 1:
            return [mine]
        from torch import distributed

        everybody: list[Any] = [None] * self.size
        distributed.all_gather_object(everybody, mine)
        return everybody

    def gather_in_order(self, mine: Sequence[T]) -> list[T]:
        """The inverse of `shard`: all items in their first order."""
        parts = self.gather(list(mine))
        whole: list[Any] = [None] * sum(map(len, parts))
        for rank, part in enumerate(parts):
            whole[rank :: self.size] = part
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
    """Meet the other processes of a run; plain torch has none. The launcher's environment variables say where.

    Raises IntroError when the launcher started another number of processes than the config asks for.
    """
    if hardware.zero == 0:
        return ALONE
    import torch

    if "RANK" not in os.environ:  # one process, which nobody launched
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    rank, size, here = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if size != hardware.processes:
        raise IntroError(
            f"hardware.processes: expected {hardware.processes} processes, found {size}; "
            "start as many with INTRO_LAUNCH, or change the config"
        )
    # DeepSpeed looks for itself otherwise, and takes a GPU that the config does not want
    os.environ["DS_ACCELERATOR"] = "cuda" if hardware.gpus else "cpu"
    if hardware.gpus:
        if here >= torch.cuda.device_count():
            raise IntroError(
                f"hardware.gpus: rank {rank} wants CUDA device {here}, found {torch.cuda.device_count()} devices; "
                "lower gpus and processes in the config, or run where they are"
            )
        torch.cuda.set_device(here)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if hardware.gpus else "gloo", timeout=PATIENCE)
    return Ranks(rank, size)


def device_of(hardware: Hardware) -> str:
    """Where this process trains."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if hardware.gpus else "cpu"
