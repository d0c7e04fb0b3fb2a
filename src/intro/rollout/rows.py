"""The batch rows of the native engine. Active rows come first, so a decode step works on a slice of every tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from intro.rollout.base import Response
from intro.rollout.kv_cache import KVCache
from intro.rollout.sampling import Sampling, choose


class ActiveRows:
    """Up to R responses in progress, in tensors whose addresses do not change.

    A step may include rows that have ended; it does not change them. Only `retire` synchronises with a GPU, and `add`
    when it selects a nucleus.
    """

    def __init__(self, rows: int, sampling: Sampling, stops: Tensor, generator: Generator | None) -> None:
        """stops: [V] bool on the device, True for tokens that end a response."""
        device = stops.device
        self.sampling, self.stops, self.generator = sampling, stops, generator
        self.prompts: list[int] = []  # prompt index of each active row
        self._ahead: list[int] = []  # per active row: position minus step, until it ends
        self.opened = self.steps = 0
        self.token, self.at, self.count = torch.zeros(3, rows, dtype=torch.long, device=device)
        self.ended = torch.zeros(rows, dtype=torch.bool, device=device)
        self.entropy = torch.zeros(rows, device=device)  # summed
        # one more column than a response has tokens: ended rows read and write there
        self.tokens = torch.zeros(rows, sampling.max_tokens + 1, dtype=torch.long, device=device)
        self.uniform = torch.zeros(rows, sampling.max_tokens + 1, dtype=torch.float64, device=device)

    @property
    def running(self) -> int:
        return len(self.prompts)

    @property
    def length(self) -> int:
        """Upper bound on the positions that the next step of the active rows reads, including those that it writes."""
        return 1 + self.steps + max(self._ahead)

    def open(self, lengths: Sequence[int]) -> slice:
        """Activate the next free rows for prompts of these lengths; returns the rows."""
        rows = slice(self.running, self.running + len(lengths))
        self.prompts += range(self.opened, self.opened + len(lengths))
        self.opened += len(lengths)
        self._ahead += [length - self.steps for length in lengths]
        device = self.token.device
        self.at[rows] = torch.tensor(lengths, device=device) - 1
        self.count[rows], self.ended[rows], self.entropy[rows] = 0, False, 0.0
        if self.sampling.temperature:
            for row in range(rows.start, rows.stop):  # one call per row: its numbers do not depend on the batch
                self.uniform[row, :-1].uniform_(generator=self.generator)
        return rows

    def advance(self, logits: Tensor) -> None:
        """One step of all active rows: sample their next tokens from logits [B, V]."""
        self.add(slice(self.running), logits)
        self.steps += 1

    def add(self, rows: slice, logits: Tensor) -> None:
        """Sample a token for each of `rows` that has not ended, from logits [B, V]."""
        count, ended = self.count[rows], self.ended[rows]  # views
        uniform = self.uniform[rows].gather(1, count[:, None]).squeeze(1)
        token, entropy = choose(logits, self.sampling, uniform)
        self.tokens[rows].scatter_(1, count[:, None], token[:, None])
        self.token[rows] = token
        self.entropy[rows] += entropy.masked_fill_(ended, 0.0)
        running = ~ended
        count += running
        self.at[rows] += running
        ended |= self.stops[token] | (count >= self.sampling.max_tokens)

    def retire(self, cache: KVCache) -> dict[int, Response]:
        """Remove the responses that have ended, by prompt index. Active rows from the end move to the freed rows."""
        ended = self.ended[: self.running].nonzero().flatten().tolist()
        if not ended:
            return {}
        prompts = [self.prompts[row] for row in ended]
        tokens, count, entropy = self.tokens[ended], self.count[ended], self.entropy[ended]
        stopped = self.stops[tokens.gather(1, count[:, None] - 1)].squeeze(1)
        parts = zip(prompts, *(t.tolist() for t in (tokens, count, stopped, entropy / count)), strict=True)
        responses = {i: Response(tuple(t[:n]), not stop, mean) for i, t, n, stop, mean in parts}
        kept, gone = self.running - len(ended), set(ended)
        target = [row for row in ended if row < kept]
        source = [row for row in range(kept, self.running) if row not in gone]
        if source:
            here, there = (torch.tensor(rows, device=self.token.device) for rows in (source, target))
            cache.move(here, there, min(self.length, cache.length))
            for t in (self.token, self.at, self.count, self.ended, self.entropy, self.tokens, self.uniform):
                t[there] = t[here]
        for of_rows in (self.prompts, self._ahead):
            for hole, row in zip(target, source, strict=True):
                of_rows[hole] = of_rows[row]
            del of_rows[kept:]
        return responses
