"""The rollout engine over vLLM. Experimental: never run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Generator, nn

from intro.rollout.base import Progress, Response, cut_at_stop, draw_seed
from intro.rollout.sampling import Sampling
from intro.types import IntroError

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer


class VllmEngine:
    """vLLM, without entropies (nan). Experimental: written against the source of vllm 0.32.0 and never run.

    Before every call the weights of a live model are written to a folder below `scratch` (by default in memory, if the
    system has /dev/shm), and every worker of vLLM reads them there. A live model needs a single process: under a
    launcher, vLLM would read the launcher's rank variables as its own.
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
                "or set hardware.engine to native"
            )
        from vllm import LLM

        self.tokenizer = tokenizer
        self.live: Any = source if isinstance(source, nn.Module) else None
        if self.live is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise IntroError(
                "engine vllm: it follows a live model in one process only, found several; set hardware.engine to native"
            )
        self._scratch: tempfile.TemporaryDirectory | None = None
        folder = self._write_weights(scratch) if isinstance(source, nn.Module) else Path(source)
        self._llm = LLM(
            model=str(folder),
            skip_tokenizer_init=True,  # ids go in and out
            generation_config="vllm",  # the checkpoint's may keep the 20 most likely tokens only
            dtype=dtype if self.live is None else str(self.live.dtype).removeprefix("torch."),
            tensor_parallel_size=gpus,
            gpu_memory_utilization=memory,
            max_num_seqs=batch,
        )

    def _write_weights(self, scratch: str | Path | None = None) -> Path:
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
        """One response per prompt, in order. Each prompt has its own seed, so no response depends on its batch."""
        if not prompts:
            return []
        from vllm import SamplingParams

        if self.live is not None:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(self._write_weights())})
            self._llm.reset_prefix_cache()  # keys and values of the old weights
        params = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                stop_token_ids=list(self.tokenizer.stop),
                ignore_eos=True,  # stop_token_ids holds all end tokens
                detokenize=False,
                seed=draw_seed(generator),
            )
            for _ in prompts
        ]
        outputs = self._llm.generate([{"prompt_token_ids": list(p)} for p in prompts], params, use_tqdm=False)
        progress(len(prompts))
        return [cut_at_stop(output.outputs[0].token_ids, self.tokenizer.stop) for output in outputs]
