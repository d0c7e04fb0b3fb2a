"""Opens a rollout engine by name: native, transformers' continuous batching, or vLLM.

All sample the same distribution (temperature and top-p; a checkpoint's other generation settings are ignored) and end
a response with its stop token. They do not draw the same tokens: their kernels round differently, and each has its own
random numbers, which the caller's generator seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from intro.rollout.base import RolloutEngine
from intro.rollout.native import NativeEngine
from intro.rollout.transformers import TransformersEngine
from intro.rollout.vllm import VllmEngine
from intro.types import IntroError

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer

ENGINES: dict[str, Callable[..., RolloutEngine]] = {
    "native": NativeEngine.open,
    "transformers": TransformersEngine,
    "vllm": VllmEngine,
}


def open_engine(
    name: str,
    source: str | Path | nn.Module,
    tokenizer: ModelTokenizer,
    batch: int = 256,
    dtype: str = "float32",
    device: str | torch.device = "cpu",
    *,
    gpus: int = 1,
    memory: float = 0.5,
    cuda_graphs: bool = False,
) -> RolloutEngine:
    """The engine of that name in ENGINES, over a model folder or a live model, whose updates it follows.

    batch: rows that are decoded at once. dtype and device: of a folder's weights; a live model keeps its own.
    gpus: over how many vLLM splits the weights. memory: share of the GPU's free memory for keys and values; for vLLM,
    of all its memory, weights included. cuda_graphs: whether the native engine replays its decode step on a GPU.
    Raises IntroError when there is no such engine, or a package that it needs is missing.
    """
    if name not in ENGINES:
        raise IntroError(f"engine: expected one of {', '.join(ENGINES)}, found {name!r}")
    if gpus > 1 and name != "vllm":
        raise IntroError(f"engine {name}: it holds a model on one GPU, found gpus: {gpus}; use vllm for a larger model")
    return ENGINES[name](
        source, tokenizer, batch=batch, dtype=dtype, device=device, gpus=gpus, memory=memory, cuda_graphs=cuda_graphs
    )
