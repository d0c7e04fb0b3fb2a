"""Rollouts: a batched engine with a KV cache, per-row lengths, and finished rows compacted away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from intro.lm.decoder import Cache, Decoder


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
    entropy: float  # mean over the tokens of the policy's entropy before temperature and top-p, nats


class Engine:
    """Generates from a Decoder. Rows are independent: padding and batch mates never change a row's logits."""

    def __init__(self, decoder: Decoder, stop: Sequence[int], pad: int, batch: int = 256) -> None:
        self.decoder = decoder
        self.stop = torch.tensor(sorted(stop))
        self.pad = pad
        self.batch = batch

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generator: Generator | None = None,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> list[Response]:
        """One response per prompt, in order. `progress` is told how many rows each finished batch had."""
        # similar lengths share a batch, so little of a prefill is padding
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        responses: dict[int, Response] = {}
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            responses.update(zip(rows, self._batch([prompts[i] for i in rows], sampling, generator), strict=True))
            progress(len(rows))
        return [responses[i] for i in range(len(prompts))]

    def _batch(self, prompts: list, sampling: Sampling, generator: Generator | None) -> list[Response]:
        state = _Rows(prompts, sampling.max_tokens, self.pad)
        longest = int(state.length.max())
        cache = Cache(self.decoder.shape, len(prompts), longest, self.decoder.embedding)
        positions = torch.arange(longest).expand(len(prompts), -1)
        hidden = self.decoder.forward(state.prompt, cache, positions, None)
        hidden = hidden[torch.arange(len(prompts)), state.length - 1]  # [B, d] at each prompt's last token
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
            mask = torch.arange(length)[None] <= at[:, None]
            hidden = self.decoder.forward(token[:, None], cache, at[:, None], mask[:, None, None])[:, 0]
        return state.responses()


class _Rows:
    """What has been sampled so far; `alive` maps the compacted rows to the original ones."""

    def __init__(self, prompts: list, max_tokens: int, pad: int) -> None:
        self.length = torch.tensor([len(p) for p in prompts])
        self.prompt = torch.full((len(prompts), int(self.length.max())), pad)
        for row, prompt in zip(self.prompt, prompts, strict=True):
            row[: len(prompt)] = torch.tensor(prompt)
        self.tokens = torch.full((len(prompts), max_tokens), pad)
        self.count = torch.zeros(len(prompts), dtype=torch.long)
        self.entropy = torch.zeros(len(prompts))
        self.ended = torch.zeros(len(prompts), dtype=torch.bool)
        self.alive = torch.arange(len(prompts))

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
