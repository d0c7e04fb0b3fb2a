"""Opens a rollout engine by name: native, transformers' continuous batching, or vLLM.

All engines sample the same distribution (temperature and top-p; other generation settings of a checkpoint are ignored)
and end a response with its stop token. The same seed gives different tokens in different engines: their kernels round
differently, and each has its own random number generator, which the caller's generator seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from intro.rollout.base import EngineOptions, RolloutEngine, Source
from intro.rollout.native import NativeEngine
from intro.rollout.transformers import TransformersEngine
from intro.rollout.vllm import VllmEngine
from intro.types import IntroError

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer

ENGINES: dict[str, Callable[[Source, ModelTokenizer, EngineOptions], RolloutEngine]] = {
    "native": NativeEngine.open,
    "transformers": TransformersEngine,
    "vllm": VllmEngine,
}


def open_engine(
    name: str, source: Source, tokenizer: ModelTokenizer, options: EngineOptions | None = None
) -> RolloutEngine:
    """The engine of that name in ENGINES, over a model folder or a live model, whose updates it follows.

    Raises IntroError when there is no such engine, or a package that it needs is missing.
    """
    if name not in ENGINES:
        raise IntroError(f"engine: expected one of {', '.join(ENGINES)}, found {name!r}")
    options = options or EngineOptions()
    if options.gpus > 1 and name != "vllm":
        found = f"found gpus: {options.gpus}"
        raise IntroError(f"engine {name}: it holds a model on one GPU, {found}; use vllm for a larger model")
    return ENGINES[name](source, tokenizer, options)
