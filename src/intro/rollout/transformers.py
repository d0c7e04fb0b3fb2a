"""The rollout engine over transformers' continuous batching."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, nn

from intro.rollout.base import Progress, Response, cut_at_stop, draw_seed
from intro.rollout.sampling import Sampling
from intro.types import IntroError

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer


class TransformersEngine:
    """Continuous batching of transformers, without entropies: `Response.entropy` is nan.

    Without the flash-attn package every row attends over the keys of all rows under a mask, which is correct but slow
    on a GPU.
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
        longest = max(len(p) for p in prompts) + sampling.max_tokens
        with _for_continuous_batching(self.model):
            results = self.model.generate_batch(
                inputs=[list(p) for p in prompts],
                generation_config=settings,
                continuous_batching_config=self._layout(longest, min(self.batch, len(prompts)), draw_seed(generator)),
            )
        failed = [r.error for r in results.values() if r.error is not None]
        if failed or len(results) != len(prompts):
            lost = len(failed) + len(prompts) - len(results)
            reason = str(failed[0]).splitlines()[0] if failed else "it stopped early"
            raise IntroError(f"engine transformers: {lost} of {len(prompts)} prompts got no answer ({reason})")
        progress(len(prompts))
        return [cut_at_stop(r.generated_tokens, self.tokenizer.stop) for r in results.values()]

    def _layout(self, longest: int, rows: int, seed: int) -> Any:
        from transformers import ContinuousBatchingConfig

        page = 32
        pages = -(-longest // page) + 1
        return ContinuousBatchingConfig(
            page_size=page,
            max_requests_per_batch=rows,
            max_memory_percent=self.memory,
            # on a GPU both follow from its free memory; on a CPU transformers would take the whole machine's
            num_blocks=None if self.model.device.type == "cuda" else rows * pages,
            max_batch_tokens=None if self.model.device.type == "cuda" else max(rows, 512),
            seed=seed,
            # where the package is missing, transformers would download its code
            auto_switch_to_flash=find_spec("flash_attn") is not None,
        )


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
