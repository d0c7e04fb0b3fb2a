"""Rollout engines behind one protocol: our own, transformers' continuous batching, and vLLM.

All sample the same distribution (temperature and top-p, nothing else of a checkpoint's generation settings) and end a
response with its stop token. They do not draw the same tokens: kernels round differently, and each has its own random
numbers, which the caller's generator seeds.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Generator, nn

from intro.rollout.decoder import Decoder
from intro.rollout.native import Engine, Response, Sampling, seed_of
from intro.types import IntroError

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer

Progress = Callable[[int], None]


class RolloutEngine(Protocol):
    """Anything that answers prompts."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generator: Generator | None = None,
        progress: Progress = lambda rows: None,
    ) -> list[Response]:
        """One response per prompt, in order; `progress` is told how many rows each finished part had."""
        ...


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
) -> RolloutEngine:
    """The engine of that name in ENGINES, over a model folder or over a live model, whose updates it follows.

    dtype and device: of a folder's weights; a live model has its own. gpus: over how many vLLM splits the weights.
    memory: share of the GPU's free memory for keys and values; for vLLM, of all its memory, weights included.
    Raises IntroError when there is no such engine, or what it needs is missing.
    """
    if name not in ENGINES:
        raise IntroError(f"engine: expected one of {', '.join(ENGINES)}, found {name!r}")
    if gpus > 1 and name != "vllm":
        raise IntroError(f"engine {name}: it holds a model on one GPU, found gpus: {gpus}; use vllm for a larger model")
    return ENGINES[name](source, tokenizer, batch=batch, dtype=dtype, device=device, gpus=gpus, memory=memory)


def native_engine(
    source: str | Path | nn.Module,
    tokenizer: ModelTokenizer,
    *,
    batch: int,
    dtype: str,
    device: str | torch.device,
    memory: float,
    **_: Any,
) -> Engine:
    """Our own Engine; it keeps a folder's weights in `dtype`."""
    if isinstance(source, nn.Module):
        decoder = Decoder.from_model(source)
    else:
        decoder = Decoder.from_folder(source, dtype, device)
    return Engine.of(decoder, tokenizer, batch, memory)


class TransformersEngine:
    """Continuous batching of transformers. It gives no entropies: `Response.entropy` is nan.

    Without the flash-attn package every row attends over the keys of all rows, masked: right, but slow on a GPU.
    """

    def __init__(
        self,
        source: str | Path | nn.Module,
        tokenizer: ModelTokenizer,
        *,
        batch: int,
        dtype: str = "float32",
        device: str | torch.device = "cpu",
        memory: float = 0.5,
        **_: Any,
    ) -> None:
        from intro.model.load import load_model

        self.model: Any = source if isinstance(source, nn.Module) else load_model(source, dtype, device)
        self.tokenizer, self.batch, self.memory = tokenizer, batch, memory

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generator: Generator | None = None,
        progress: Progress = lambda rows: None,
    ) -> list[Response]:
        """One response per prompt, in order. Raises IntroError when transformers gives up on one."""
        if not prompts:
            return []
        from transformers import GenerationConfig

        greedy = sampling.temperature == 0
        settings = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=not greedy,
            temperature=None if greedy else sampling.temperature,
            top_p=None if greedy else sampling.top_p,
            top_k=None if greedy else 0,  # its own default cuts to 50
            eos_token_id=list(self.tokenizer.stop),
            pad_token_id=self.tokenizer.pad,
        )
        longest = max(len(p) for p in prompts) + sampling.max_tokens
        with _as_it_was(self.model):
            results = self.model.generate_batch(
                inputs=[list(p) for p in prompts],
                generation_config=settings,
                continuous_batching_config=self._layout(longest, min(self.batch, len(prompts)), seed_of(generator)),
            )
        failed = [r.error for r in results.values() if r.error is not None]
        if failed or len(results) != len(prompts):
            lost = len(failed) + len(prompts) - len(results)
            reason = str(failed[0]).splitlines()[0] if failed else "it stopped before the end"
            raise IntroError(f"engine transformers: {lost} of {len(prompts)} prompts got no answer ({reason})")
        progress(len(prompts))
        return [ended(r.generated_tokens, self.tokenizer.stop) for r in results.values()]

    def _layout(self, longest: int, rows: int, seed: int) -> Any:
        from transformers import ContinuousBatchingConfig

        page = 32
        pages = -(-longest // page) + 1
        return ContinuousBatchingConfig(
            page_size=page,
            max_requests_per_batch=rows,
            max_memory_percent=self.memory,
            # on a GPU both follow from its free memory; elsewhere transformers would plan with all of the machine's
            num_blocks=None if self.model.device.type == "cuda" else rows * pages,
            max_batch_tokens=None if self.model.device.type == "cuda" else max(rows, 512),
            seed=seed,
            # its fallback, where the package is missing, is to fetch code
            auto_switch_to_flash=find_spec("flash_attn") is not None,
        )


@contextmanager
def _as_it_was(model: nn.Module):
    """Eval mode, attention as continuous batching knows it, and the global random numbers, which it seeds: put back
    afterwards."""
    device = next(model.parameters()).device
    training, attention = model.training, model.config._attn_implementation
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            model.set_attn_implementation("sdpa")
            yield model.eval()
        finally:
            model.set_attn_implementation(attention)
            model.train(training)


class VllmEngine:
    """vLLM. experimental: never run here. Written against the source of vllm 0.32.0; it gives no entropies (nan).

    A live model is handed over before every call: its weights are written to a folder below `scratch` (memory, where
    the system has such a folder) and every worker of vLLM reads them from there. One process only: under a launcher,
    vLLM would take the launcher's ranks for its own.
    """

    def __init__(
        self,
        source: str | Path | nn.Module,
        tokenizer: ModelTokenizer,
        *,
        batch: int,
        dtype: str = "bfloat16",
        gpus: int = 1,
        memory: float = 0.5,
        scratch: str | Path | None = None,
        **_: Any,
    ) -> None:
        if find_spec("vllm") is None:
            raise IntroError(
                "engine vllm: vllm is not installed; install the extra `vllm` in an environment of its own, "
                "or set hardware.engine to own"
            )
        from vllm import LLM

        self.tokenizer = tokenizer
        self.live: Any = source if isinstance(source, nn.Module) else None
        if self.live is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise IntroError(
                "engine vllm: it follows a live model in one process only, found several; set hardware.engine to own"
            )
        self._scratch: tempfile.TemporaryDirectory | None = None
        folder = self._hand_over(scratch) if isinstance(source, nn.Module) else Path(source)
        self._llm = LLM(
            model=str(folder),
            skip_tokenizer_init=True,  # ids go in and out
            generation_config="vllm",  # not the checkpoint's: it may cut to the 20 most likely tokens
            dtype=dtype if self.live is None else str(self.live.dtype).removeprefix("torch."),
            tensor_parallel_size=gpus,
            gpu_memory_utilization=memory,
            max_num_seqs=batch,
        )

    def _hand_over(self, scratch: str | Path | None = None) -> Path:
        """Write the live model's weights and config; the folder is removed with the engine."""
        if self._scratch is None:
            memory = Path("/dev/shm")
            below = scratch if scratch is not None else memory if memory.is_dir() else None
            self._scratch = tempfile.TemporaryDirectory(prefix="intro-weights-", dir=below)
        folder = Path(self._scratch.name)
        self.live.save_pretrained(folder)
        return folder

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generator: Generator | None = None,
        progress: Progress = lambda rows: None,
    ) -> list[Response]:
        """One response per prompt, in order; every prompt has a seed of its own, whatever shares its batch."""
        if not prompts:
            return []
        from vllm import SamplingParams

        if self.live is not None:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(self._hand_over())})
            self._llm.reset_prefix_cache()  # keys and values of the old weights
        params = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                stop_token_ids=list(self.tokenizer.stop),
                ignore_eos=True,  # stop_token_ids says it all
                detokenize=False,
                seed=seed_of(generator),
            )
            for _ in prompts
        ]
        outputs = self._llm.generate([{"prompt_token_ids": list(p)} for p in prompts], params, use_tqdm=False)
        progress(len(prompts))
        return [ended(output.outputs[0].token_ids, self.tokenizer.stop) for output in outputs]


def ended(tokens: Sequence[int], stop: Sequence[int]) -> Response:
    """A response without entropy: cut after its first stop token, truncated when there is none."""
    at = next((i for i, token in enumerate(tokens) if token in stop), None)
    return Response(tuple(tokens if at is None else tokens[: at + 1]), at is None, math.nan)


ENGINES: dict[str, Callable[..., RolloutEngine]] = {
    "own": native_engine,
    "transformers": TransformersEngine,
    "vllm": VllmEngine,
}
