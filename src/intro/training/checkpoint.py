"""Resumable state of a run, in a scratch folder named by the hash of everything that decides the run.

Snakemake does not own that folder: it deletes declared outputs of failed jobs. A run whose hash is already there
complete is not trained again, so the grid, the paper protocol and the tuned one share runs of equal settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from intro.provenance import whole_file
from intro.types import IntroError


class Scratch:
    """One file, `state.pt`, replaced whole; a lock keeps two processes out of the same run."""

    def __init__(self, root: Path, key: str) -> None:
        self.folder = root / ".scratch" / key
        self.file = self.folder / "state.pt"

    @contextmanager
    def lock(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IntroError(f"{self.folder}: cannot write checkpoints here ({error.strerror})") from None
        with FileLock(self.folder / "lock"):  # the operating system frees it when the holder dies
            yield

    def save(self, state: dict[str, Any]) -> None:
        with whole_file(self.file) as temporary:
            torch.save(state, temporary)

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
