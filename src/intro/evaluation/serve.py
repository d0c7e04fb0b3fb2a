"""The configured engine over a model folder, for every command that generates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from intro.config import Serving

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer
    from intro.rollout.base import RolloutEngine


def serve(serving: Serving, folder: Path, tokenizer: ModelTokenizer, batch: int, gpus: int = 1) -> RolloutEngine:
    """The engine that `serving` names, on the CPU or on `gpus` visible GPUs; `batch` rows are decoded at once."""
    from intro.rollout.api import open_engine
    from intro.rollout.base import EngineOptions

    device = "cuda" if serving.gpus else "cpu"
    # no other process uses the GPU: keys and values may take most of the memory that the weights leave
    options = EngineOptions(batch, serving.dtype, device, gpus, memory=0.8, cuda_graphs=serving.cuda_graphs)
    return open_engine(serving.engine, folder, tokenizer, options)
