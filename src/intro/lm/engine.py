"""Rollouts: a batched engine with a KV cache, per-row lengths, and finished rows compacted away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from intro.lm.decoder import Cache, Decoder

if TYPE_CHECKING:
    from intro.lm.text import Text


@dataclass(frozen=True, slots=True)
class Sampling:
    """temperature 0 is greedy; top_p 1 samples the untruncated policy."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Response:
    """Token ids up to and including the end token, which is missing when `truncated`."""

    tokens: tuple[int, ...]
    truncated: bool
    # mean over the tokens of the policy's entropy before temperature and top-p, nats; nan from an engine that has none
    entropy: float


class Engine:
    """Generates from a Decoder, on its device. Rows are independent: batch mates never change a row's logits
    (beyond rounding: on a GPU the size of a batch chooses its kernels).

    batch: rows at a time. memory: share of a GPU's free memory that the longest possible responses of a batch may
    fill with keys and values; fewer rows share a batch where they would not fit. Which rows share a batch decides which
    random numbers a row gets, so sampled tokens repeat on the same GPU with the same other things in its memory.
    """

    PREFILL = 65_536  # padded tokens per prefill pass: bounds the activations of long prompts

    def __init__(self, decoder: Decoder, stop: Sequence[int], pad: int, batch: int = 256, memory: float = 0.5) -> None:
        self.decoder = decoder
        self.device = decoder.embedding.device
        self.stop = torch.tensor(sorted(stop), device=self.device)
        self.pad = pad
        self.batch = batch
        self.memory = memory

    @classmethod
    def of(cls, decoder: Decoder, text: Text, batch: int = 256, memory: float = 0.5) -> Engine:
        """An engine that pads and stops as the model's tokenizer says."""
        return cls(decoder, text.stop, text.pad, batch, memory)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generator: Generator | None = None,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> list[Response]:
        """One response per prompt, in order. `progress` is told how many rows each finished batch had.

        On a GPU one number of a CPU generator seeds a generator there.
        """
        generator = on_device(generator, self.device)
        # similar lengths share a batch, so little of a prefill is padding
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        responses: dict[int, Response] = {}
        while order:
            room = self.rows(len(prompts[order[: self.batch][-1]]) + sampling.max_tokens)
            rows, order = order[:room], order[room:]
            responses.update(zip(rows, self._batch([prompts[i] for i in rows], sampling, generator), strict=True))
            progress(len(rows))
        if self.device.type == "cuda":  # what comes next has its own sizes, and NCCL takes memory outside of torch's
            torch.cuda.empty_cache()
        return [responses[i] for i in range(len(prompts))]

    def rows(self, length: int) -> int:
        """How many rows of `length` tokens may share a batch."""
        if (free := self._free_bytes()) is None:
            return self.batch
        row = length * self.decoder.shape.cached * self.decoder.embedding.element_size()
        fit = max(1, int(self.memory * free / row))
        # a power of two, so that some megabytes more or less do not change which rows share a batch
        return self.batch if fit >= self.batch else 1 << (fit.bit_length() - 1)

    def _free_bytes(self) -> int | None:
        """Free memory of a GPU, what torch holds unused included; None elsewhere."""
        if self.device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        return free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)

    def _batch(self, prompts: list, sampling: Sampling, generator: Generator | None) -> list[Response]:
        state = _Rows(prompts, sampling.max_tokens, self.pad, self.device)
        cache = Cache(self.decoder.shape, len(prompts), state.prompt.shape[1], self.decoder.embedding)
        hidden = self._prefill(state, cache)
        for step in range(sampling.max_tokens):
            token, entropy = choose(self.decoder.logits(hidden).float(), sampling, generator)
            going = state.add(step, token, entropy, self.stop)
            if going is not None:  # some rows ended
                if len(going) == 0:
                    break
                token = token[going]
                cache.keep(going)
            at = state.position(step)  # [B] where this token's keys and values go
            length = int(at.max()) + 1
            cache.reserve(length)
            mask = torch.arange(length, device=self.device)[None] <= at[:, None]
            hidden = self.decoder.forward(token[:, None], cache, at[:, None], mask[:, None, None])[:, 0]
        return state.responses()

    def _prefill(self, state: _Rows, cache: Cache) -> Tensor:
        """Hidden states [B, d] at each prompt's last token; the prompts' keys and values are stored."""
        rows, longest = state.prompt.shape
        some, last = max(1, self.PREFILL // longest), []
        for part in (slice(start, start + some) for start in range(0, rows, some)):
            prompt, length = state.prompt[part], state.length[part]
            positions = torch.arange(longest, device=self.device).expand(len(prompt), -1)
            hidden = self.decoder.forward(prompt, cache.part(part), positions, None)
            last.append(hidden[torch.arange(len(prompt), device=self.device), length - 1])
        return torch.cat(last)


class _Rows:
    """What has been sampled so far; `alive` maps the compacted rows to the original ones."""

    def __init__(self, prompts: list, max_tokens: int, pad: int, device: torch.device) -> None:
        lengths = [len(p) for p in prompts]
        padded = [[*p, *[pad] * (max(lengths) - len(p))] for p in prompts]
        self.length = torch.tensor(lengths, device=device)
        self.prompt = torch.tensor(padded, device=device)
        self.tokens = torch.full((len(prompts), max_tokens), pad, device=device)
        self.count = torch.zeros(len(prompts), dtype=torch.long, device=device)
        self.entropy = torch.zeros(len(prompts), device=device)
        self.ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
        self.alive = torch.arange(len(prompts), device=device)

    def add(self, step: int, token: Tensor, entropy: Tensor, stop: Tensor) -> Tensor | None:
        """Store a token per living row; the indices (among the living) that go on, or None when all do."""
        self.tokens[self.alive, step] = token
        self.entropy[self.alive] += entropy
        self.count[self.alive] += 1
        done = torch.isin(token, stop)
        if not done.any():
            return None
        self.ended[self.alive[done]] = True
        going = (~done).nonzero().squeeze(1)
        self.alive = self.alive[going]
        return going

    def position(self, step: int) -> Tensor:
        return self.length[self.alive] + step

    def responses(self) -> list[Response]:
        rows = zip(self.tokens.tolist(), self.count.tolist(), self.ended.tolist(), self.entropy.tolist(), strict=True)
        return [Response(tuple(t[:count]), not ended, entropy / count) for t, count, ended, entropy in rows]


def seed_of(generator: Generator | None) -> int:
    """A seed drawn from a generator, for an engine that keeps its own."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**31, (), generator=generator, device=device))


def on_device(generator: Generator | None, device: torch.device) -> Generator | None:
    """The generator itself where it can draw on the device, else one there that it seeds."""
    if generator is None or generator.device.type == device.type:
        return generator
    return Generator(device).manual_seed(seed_of(generator))


def choose(logits: Tensor, sampling: Sampling, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """Sampled tokens [B] and the untempered entropies [B] of logits [B, V]."""
    logp = logits.log_softmax(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    if sampling.temperature == 0:
        return logits.argmax(-1), entropy
    p = (logp / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        p = nucleus(p, sampling.top_p)
    return torch.multinomial(p, 1, generator=generator).squeeze(1), entropy


def nucleus(p: Tensor, top_p: float) -> Tensor:
    """Zero all but the smallest set of most likely tokens whose mass reaches top_p (unnormalised) [B, V]."""
    ranked, index = p.sort(dim=-1, descending=True, stable=True)
    before = ranked.cumsum(-1) - ranked  # mass of the more likely tokens
    return torch.zeros_like(p).scatter_(-1, index, ranked.masked_fill(before >= top_p, 0.0))
