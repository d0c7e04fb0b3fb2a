"""Resumable state of a run, in a scratch folder that is named by a digest of everything that decides the run.

The folder is no output of a rule, since Snakemake deletes the outputs of failed jobs. A run whose complete state is
there is not trained again: the grid and both protocols share runs of equal settings.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from intro.infra.files import atomic_file, ensure_folder
from intro.training.distributed import ALONE, Ranks
from intro.types import IntroError

ENGINE = "engine-"  # prefix of the folders that a backend of several ranks writes


class Scratch:
    """One file, `state.pt`, written atomically; a lock keeps two processes from the same run.

    A backend of several ranks writes a folder beside it, which `state["engine"]` names. Only the first rank locks and
    writes `state.pt`; all ranks read it.
    """

    def __init__(self, root: Path, key: str, ranks: Ranks = ALONE) -> None:
        self.folder = root / ".scratch" / key
        self.file = self.folder / "state.pt"
        self.ranks = ranks

    @contextmanager
    def lock(self) -> Iterator[None]:
        from filelock import FileLock

        ensure_folder(self.folder)
        # the operating system releases the lock of a process that dies
        with FileLock(self.folder / "lock") if self.ranks.first else nullcontext():
            self.ranks.barrier()  # other ranks wait until the first holds the lock
            yield

    def save(self, state: dict[str, Any]) -> None:
        if not self.ranks.first:
            return
        with atomic_file(self.file) as temporary:
            torch.save(state, temporary)
        for folder in self.folder.glob(f"{ENGINE}*"):  # the previous state.pt named an older folder
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
        except Exception as error:  # torch raises many types for a damaged file
            raise IntroError(
                f"{self.file}: damaged checkpoint ({type(error).__name__}); delete it to start over"
            ) from None
