"""Rollouts: a batched engine with a KV cache; rows are refilled as responses end, and equal prompts that come into a
batch together are read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from intro.model.kernels import launch as kernels
from intro.rollout.cuda_graphs import Graphs
from intro.rollout.decoder import Decoder
from intro.rollout.kv_cache import Cache
from intro.rollout.rows import Response, Slots
from intro.rollout.sampling import Sampling

if TYPE_CHECKING:
    from intro.model.tokenizer import ModelTokenizer

__all__ = ["Engine", "Response", "Sampling", "on_device", "seed_of"]

Prompt = tuple[int, ...]


class Engine:
    """Generates from a Decoder, on its device. Rows are independent: batch mates never change a row's logits
    (beyond rounding: the size of a batch chooses its kernels) nor its random numbers, which depend on the generator
    and on the prompts alone.

    batch: rows at a time. memory: share of a GPU's free memory that the longest possible responses of a batch may
    fill with keys and values; fewer rows share a batch where they would not fit.
    """

    PREFILL = 65_536  # padded tokens per prefill pass: bounds the activations of long prompts
    REFILL = 8  # waiting prompts are read when one in so many rows is free: a prefill of few rows costs like a step

    def __init__(self, decoder: Decoder, stop: Sequence[int], pad: int, batch: int = 256, memory: float = 0.5) -> None:
        self.decoder = decoder
        self.device = decoder.embedding.device
        vocabulary = len(decoder.lm_head)
        self.stops = torch.zeros(vocabulary, dtype=torch.bool, device=self.device)
        self.stops[[token for token in stop if token < vocabulary]] = True
        self.pad = pad
        self.batch = batch
        self.memory = memory
        self.on_gpu = self.device.type == "cuda"
        self.graphs = self.on_gpu and not kernels.plain()
        self.steps = 8 if self.on_gpu else 1  # between two looks for ended rows, each of which makes a GPU wait

    @classmethod
    def of(cls, decoder: Decoder, tokenizer: ModelTokenizer, batch: int = 256, memory: float = 0.5) -> Engine:
        """An engine that pads and stops as the model's tokenizer says."""
        return cls(decoder, tokenizer.stop, tokenizer.pad, batch, memory)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generator: Generator | None = None,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> list[Response]:
        """One response per prompt, in order. `progress` is told how many rows have ended since it was last told.

        On a GPU one number of a CPU generator seeds a generator there.
        """
        generator = on_device(generator, self.device)
        self.decoder.refresh()
        # similar lengths share a prefill, so little of it is padding, and equal prompts are neighbours
        asked = sorted((len(prompt), tuple(prompt), i) for i, prompt in enumerate(prompts))
        room = {length: self.rows(length + sampling.max_tokens) for length in {length for length, *_ in asked}}
        responses: dict[int, Response] = {}
        for rows, batch in groupby(asked, key=lambda entry: room[entry[0]]):
            _, some, names = zip(*batch, strict=True)
            for ended in self._run(some, rows, sampling, generator):
                responses |= {names[i]: response for i, response in ended.items()}
                progress(len(ended))
        if self.on_gpu:  # what comes next has its own sizes, and NCCL takes memory outside of torch's
            torch.cuda.empty_cache()
        return [responses[i] for i in range(len(prompts))]

    def rows(self, length: int) -> int:
        """How many rows of `length` tokens may share a batch."""
        if (free := self._free_bytes()) is None:
            return self.batch
        row = length * self.decoder.shape.cached * self.decoder.embedding.element_size()
        fit = max(1, int(self.memory * free / row))
        # a power of two: lengths that differ little share a batch
        return self.batch if fit >= self.batch else 1 << (fit.bit_length() - 1)

    def _free_bytes(self) -> int | None:
        """Free memory of a GPU, what torch holds unused included; None elsewhere."""
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
        # the tensors of a graph must stay where they are; elsewhere, memory that is not needed in the end is not taken
        cache = Cache(self.decoder.shape, rows, most if self.on_gpu else longest, self.decoder.embedding)
        slots = Slots(rows, sampling, self.stops, generator)

        def decode(rows: int, length: int) -> Tensor:
            return self.decoder.step(slots.token[:rows], slots.at[:rows], cache, length)

        step = Graphs(decode, rows, cache.length) if self.graphs else decode
        while True:
            if ended := slots.retire(cache):
                yield ended
            free = rows - slots.live
            if slots.opened < len(prompts) and free * self.REFILL >= rows:
                self._admit(prompts[slots.opened : slots.opened + free], slots, cache)
            elif not slots.live:
                return
            for _ in range(self.steps):
                length = min(slots.length, most)
                cache.reserve(length)
                slots.advance(self.decoder.logits(step(slots.live, length)))

    def _admit(self, prompts: Sequence[Prompt], slots: Slots, cache: Cache) -> None:
        """Read prompts into free rows, equal ones once, and sample their first tokens."""
        distinct = [(prompt, len(list(equal))) for prompt, equal in groupby(prompts)]
        some = max(1, self.PREFILL // len(prompts[-1]))
        for start in range(0, len(distinct), some):
            part = distinct[start : start + some]
            longest = len(part[-1][0])
            padded = [[*prompt, *[self.pad] * (longest - len(prompt))] for prompt, _ in part]
            lengths = [len(prompt) for prompt, _ in part]
            shared = [i for i, (_, count) in enumerate(part) for _ in range(count)]
            rows = slots.open([lengths[i] for i in shared])
            tokens, length, source = (torch.tensor(x, device=self.device) for x in (padded, lengths, shared))
            hidden = self.decoder.prefill(tokens, length - 1, cache, rows, source)
            slots.add(rows, self.decoder.logits(hidden))


def seed_of(generator: Generator | None) -> int:
    """A seed drawn from a generator, for an engine that keeps its own."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**31, (), generator=generator, device=device))


def on_device(generator: Generator | None, device: torch.device) -> Generator | None:
    """The generator itself where it can draw on the device, else one there that it seeds."""
    if generator is None or generator.device.type == device.type:
        return generator
    return Generator(device).manual_seed(seed_of(generator))
