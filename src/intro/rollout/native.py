"""The native rollout engine: batched decoding with a KV cache.

Rows are refilled as responses end, and equal prompts that enter a batch together share one prefill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor, nn

from intro.rollout.base import EngineOptions, Progress, Prompts, Response, Source, ignore, on_device
from intro.rollout.cuda_graphs import CudaGraphs
from intro.rollout.decoder import Decoder
from intro.rollout.kv_cache import KVCache
from intro.rollout.rows import ActiveRows
from intro.rollout.sampling import Sampling

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer

Prompt = tuple[int, ...]


class NativeEngine:
    """Generates from a Decoder, on its device. Rows are independent: the other rows of a batch change neither a row's
    logits (beyond rounding, since the batch size selects the kernels) nor its random numbers, which depend on the
    generator and the prompts only.

    options: batch, memory and cuda_graphs. `memory` must hold the keys and values of a batch at its longest possible
    responses; a batch has fewer rows if they would not fit.
    """

    PREFILL = 65_536  # padded tokens per prefill pass: bounds the activations of long prompts
    REFILL = 8  # refill when 1/8 of the rows are free: a prefill of few rows costs as much as a decode step

    def __init__(self, decoder: Decoder, stop: Sequence[int], pad: int, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        self.decoder = decoder
        self.device = decoder.embedding.device
        vocabulary = len(decoder.lm_head)
        self.stops = torch.zeros(vocabulary, dtype=torch.bool, device=self.device)
        self.stops[[token for token in stop if token < vocabulary]] = True
        self.pad = pad
        self.batch, self.memory = options.batch, options.memory
        self.on_gpu = self.device.type == "cuda"
        self.cuda_graphs = self.on_gpu and options.cuda_graphs
        self.steps = 8 if self.on_gpu else 1  # between two checks for ended rows, each of which synchronises with a GPU

    @classmethod
    def open(cls, source: Source, tokenizer: ModelTokenizer, options: EngineOptions) -> NativeEngine:
        """An engine over a live model or a model folder."""
        live = isinstance(source, nn.Module)
        decoder = Decoder.from_model(source) if live else Decoder.from_folder(source, options.dtype, options.device)
        return cls(decoder, tokenizer.stop, tokenizer.pad, options)

    @torch.inference_mode()
    def generate(
        self, prompts: Prompts, sampling: Sampling, generator: Generator | None = None, progress: Progress = ignore
    ) -> list[Response]:
        """One response per prompt, in order; see `RolloutEngine.generate`.

        On a GPU a number drawn from a CPU generator seeds a generator there.
        """
        generator = on_device(generator, self.device)
        self.decoder.refresh()
        # sorted: prompts of similar length share a prefill with little padding, and equal prompts are adjacent
        ordered = sorted((len(prompt), tuple(prompt), i) for i, prompt in enumerate(prompts))
        rows_for = {length: self.rows(length + sampling.max_tokens) for length in {length for length, *_ in ordered}}
        responses: dict[int, Response] = {}
        for rows, batch in groupby(ordered, key=lambda entry: rows_for[entry[0]]):
            _, batch_prompts, indices = zip(*batch, strict=True)
            for ended in self._run(batch_prompts, rows, sampling, generator):
                responses |= {indices[i]: response for i, response in ended.items()}
                progress(len(ended))
        if self.on_gpu:  # training tensors have other sizes, and NCCL allocates outside of torch's pool
            torch.cuda.empty_cache()
        return [responses[i] for i in range(len(prompts))]

    def rows(self, length: int) -> int:
        """The number of rows of `length` tokens that fit into a batch."""
        if (free := self._free_bytes()) is None:
            return self.batch
        row = length * self.decoder.config.cached_per_token * self.decoder.embedding.element_size()
        fit = max(1, int(self.memory * free / row))
        # a power of two: lengths that differ little share a batch
        return self.batch if fit >= self.batch else 1 << (fit.bit_length() - 1)

    def _free_bytes(self) -> int | None:
        """Free memory of the GPU in bytes, including what torch has reserved but does not use; None on a CPU."""
        if not self.on_gpu:
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        return free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)

    def _run(
        self, prompts: Sequence[Prompt], rows: int, sampling: Sampling, generator: Generator | None
    ) -> Iterator[dict[int, Response]]:
        """Responses by their prompt's index, as they end. Prompts are sorted by length and taken in order."""
        rows, longest = min(rows, len(prompts)), len(prompts[-1])
        most = longest + sampling.max_tokens
        # tensors of a CUDA graph must keep their addresses; on a CPU the cache grows as needed instead
        cache = KVCache(self.decoder.config, rows, most if self.on_gpu else longest, self.decoder.embedding)
        active = ActiveRows(rows, sampling, self.stops, generator)

        def decode(rows: int, length: int) -> Tensor:
            return self.decoder.step(active.token[:rows], active.at[:rows], cache, length)

        step = CudaGraphs(decode, rows, cache.length) if self.cuda_graphs else decode
        while True:
            if ended := active.retire(cache):
                yield ended
            free = rows - active.running
            if active.opened < len(prompts) and free * self.REFILL >= rows:
                self._admit(prompts[active.opened : active.opened + free], active, cache)
            elif not active.running:
                return
            for _ in range(self.steps):
                length = min(active.length, most)
                cache.reserve(length)
                active.advance(self.decoder.logits(step(active.running, length)))

    def _admit(self, prompts: Sequence[Prompt], active: ActiveRows, cache: KVCache) -> None:
        """Prefill prompts into free rows, equal prompts once, and sample their first tokens."""
        distinct = [(prompt, len(list(equal))) for prompt, equal in groupby(prompts)]
        some = max(1, self.PREFILL // len(prompts[-1]))
        for start in range(0, len(distinct), some):
            part = distinct[start : start + some]
            longest = len(part[-1][0])
            padded = [[*prompt, *[self.pad] * (longest - len(prompt))] for prompt, _ in part]
            lengths = [len(prompt) for prompt, _ in part]
            shared = [i for i, (_, count) in enumerate(part) for _ in range(count)]
            rows = active.open([lengths[i] for i in shared])
            tokens, length, source = (torch.tensor(x, device=self.device) for x in (padded, lengths, shared))
            hidden = self.decoder.prefill(tokens, length - 1, cache, rows, source)
            active.add(rows, self.decoder.logits(hidden))
