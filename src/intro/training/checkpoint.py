"""Resumable state of a run, in a scratch folder named by the hash of everything that decides the run.

Snakemake does not own that folder: it deletes declared outputs of failed jobs. A run whose hash is already there
complete is not trained again, so the grid, the paper protocol and the tuned one share runs of equal settings.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from intro.infra.files import atomic_file
from intro.training.distributed import ALONE, Ranks
from intro.types import IntroError

ENGINE = "engine-"  # how the folder of an engine's own checkpoint begins


class Scratch:
    """One file, `state.pt`, replaced whole; a lock keeps two processes out of the same run.

    An engine of several ranks has a folder of its own beside it, which `state["engine"]` names. The first rank alone
    locks and writes; all ranks read.
    """

    def __init__(self, root: Path, key: str, ranks: Ranks = ALONE) -> None:
        self.folder = root / ".scratch" / key
        self.file = self.folder / "state.pt"
        self.ranks = ranks

    @contextmanager
    def lock(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IntroError(f"{self.folder}: cannot write checkpoints here ({error.strerror})") from None
        # the operating system frees it when the holder dies
        with FileLock(self.folder / "lock") if self.ranks.first else nullcontext():
            self.ranks.barrier()  # the others wait for the lock here
            yield

    def save(self, state: dict[str, Any]) -> None:
        if not self.ranks.first:
            return
        with atomic_file(self.file) as temporary:
            torch.save(state, temporary)
        for folder in self.folder.glob(f"{ENGINE}*"):  # only now: the old state.pt named an older one
            if folder.name != state.get("engine"):
                shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Delete the state of a run whose results are in place."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def load(self) -> dict[str, Any] | None:
        """The last state, or None when there is none yet. Raises IntroError when it cannot be read."""
        if not self.file.is_file():
            return None
        try:
            return torch.load(self.file, weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise IntroError(
                f"{self.file}: damaged checkpoint ({type(error).__name__}); delete it to start over"
            ) from None
