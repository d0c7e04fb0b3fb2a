"""The rollout engine over vLLM. Experimental: never run."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Generator, nn

from intro.rollout.base import EngineOptions, Progress, Prompts, Response, Source, cut_at_stop, draw_seed, ignore
from intro.rollout.sampling import Sampling
from intro.types import IntroError

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer

MEMORY = Path("/dev/shm")


class VllmEngine:
    """vLLM, without entropies (nan). Experimental: written against the source of vllm 0.32.0 and never run.

    Before every call the weights of a live model are written to a temporary folder, in memory if the system has
    /dev/shm, and every worker of vLLM reads them there. A live model needs a single process: under a launcher, vLLM
    would read the launcher's rank variables as its own.
    """

    def __init__(self, source: Source, tokenizer: ModelTokenizer, options: EngineOptions) -> None:
        if find_spec("vllm") is None:
            fix = "install the extra `vllm` in a separate environment, or set hardware.engine to native"
            raise IntroError(f"engine vllm: vllm is not installed; {fix}")
        from vllm import LLM

        self.tokenizer = tokenizer
        self.live: Any = source if isinstance(source, nn.Module) else None
        if self.live is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            problem = "expected one process, found several, which cannot follow a live model"
            raise IntroError(f"engine vllm: {problem}; set hardware.engine to native")
        # removed with the engine
        self._weights = tempfile.TemporaryDirectory(prefix="intro-weights-", dir=MEMORY if MEMORY.is_dir() else None)
        self._llm = LLM(
            model=str(source) if self.live is None else self._write_weights(),
            skip_tokenizer_init=True,  # prompts and responses are token ids
            generation_config="vllm",  # the checkpoint's may keep the 20 most likely tokens only
            dtype=options.dtype if self.live is None else str(self.live.dtype).removeprefix("torch."),
            tensor_parallel_size=options.gpus,
            gpu_memory_utilization=options.memory,
            max_num_seqs=options.batch,
        )

    def _write_weights(self) -> str:
        """Write the live model's weights and config; returns the folder."""
        self.live.save_pretrained(self._weights.name)
        return self._weights.name

    def generate(
        self, prompts: Prompts, sampling: Sampling, generator: Generator | None = None, progress: Progress = ignore
    ) -> list[Response]:
        """One response per prompt, in order. Each prompt has its own seed, so no response depends on its batch."""
        if not prompts:
            return []
        from vllm import SamplingParams

        if self.live is not None:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": self._write_weights()})
            self._llm.reset_prefix_cache()  # keys and values of the old weights
        settings = {
            **asdict(sampling),  # max_tokens, temperature, top_p
            "stop_token_ids": list(self.tokenizer.stop),
            "ignore_eos": True,  # stop_token_ids holds all end tokens
            "detokenize": False,
        }
        params = [SamplingParams(**settings, seed=draw_seed(generator)) for _ in prompts]
        outputs = self._llm.generate([{"prompt_token_ids": list(p)} for p in prompts], params, use_tqdm=False)
        progress(len(prompts))
        return [cut_at_stop(output.outputs[0].token_ids, self.tokenizer.stop) for output in outputs]
