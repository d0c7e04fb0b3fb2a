"""The rollout engine over transformers' continuous batching."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, nn

from intro.rollout.base import EngineOptions, Progress, Prompts, Response, Source, cut_at_stop, draw_seed, ignore
from intro.rollout.sampling import Sampling
from intro.types import IntroError

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer


class TransformersEngine:
    """Continuous batching of transformers, without entropies: `Response.entropy` is nan.

    Without the flash-attn package every row attends over the keys of all rows under a mask, which is correct but slow
    on a GPU.
    """

    def __init__(self, source: Source, tokenizer: ModelTokenizer, options: EngineOptions) -> None:
        from intro.model.load import load_model

        live = isinstance(source, nn.Module)
        self.model: Any = source if live else load_model(source, options.dtype, options.device)
        self.tokenizer, self.options = tokenizer, options

    def generate(
        self, prompts: Prompts, sampling: Sampling, generator: Generator | None = None, progress: Progress = ignore
    ) -> list[Response]:
        """One response per prompt, in order. Raises IntroError when transformers returns fewer."""
        if not prompts:
            return []
        from transformers import GenerationConfig

        greedy = sampling.temperature == 0
        settings = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=not greedy,
            temperature=None if greedy else sampling.temperature,
            top_p=None if greedy else sampling.top_p,
            top_k=None if greedy else 0,  # the default keeps the 50 most likely tokens only
            eos_token_id=list(self.tokenizer.stop),
            pad_token_id=self.tokenizer.pad,
        )
        with _for_continuous_batching(self.model):
            results = self.model.generate_batch(
                inputs=[list(p) for p in prompts],
                generation_config=settings,
                continuous_batching_config=self._batching(prompts, sampling.max_tokens, draw_seed(generator)),
            )
        failed = [r.error for r in results.values() if r.error is not None]
        if failed or len(results) != len(prompts):
            missing = len(failed) + len(prompts) - len(results)
            reason = str(failed[0]).splitlines()[0] if failed else "it stopped early"
            raise IntroError(f"engine transformers: {missing} of {len(prompts)} prompts have no response ({reason})")
        progress(len(prompts))
        return [cut_at_stop(r.generated_tokens, self.tokenizer.stop) for r in results.values()]

    def _batching(self, prompts: Prompts, max_tokens: int, seed: int) -> Any:
        from transformers import ContinuousBatchingConfig

        rows, longest = min(self.options.batch, len(prompts)), max(map(len, prompts)) + max_tokens
        config = ContinuousBatchingConfig(
            page_size=32,
            max_requests_per_batch=rows,
            max_memory_percent=self.options.memory,
            seed=seed,
            # without the package, transformers would download its code
            auto_switch_to_flash=find_spec("flash_attn") is not None,
        )
        if self.model.device.type != "cuda":  # transformers would use all of the machine's memory
            config.num_blocks, config.max_batch_tokens = rows * (-(-longest // 32) + 1), max(rows, 512)
        return config


@contextmanager
def _for_continuous_batching(model: nn.Module):
    """Eval mode and an attention that continuous batching supports; restores both, and the global random state that
    it seeds."""
    device = next(model.parameters()).device
    training, attention = model.training, model.config._attn_implementation
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            model.set_attn_implementation("sdpa")
            yield model.eval()
        finally:
            model.set_attn_implementation(attention)
            model.train(training)
