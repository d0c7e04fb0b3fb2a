"""The rows that an engine is generating: the live ones come first, so that a step is over a slice of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from intro.rollout.kv_cache import Cache
from intro.rollout.sampling import Sampling, choose


@dataclass(frozen=True, slots=True)
class Response:
    """Token ids up to and including the end token, which is missing when `truncated`."""

    tokens: tuple[int, ...]
    truncated: bool
    # mean over the tokens of the policy's entropy before temperature and top-p, nats; nan from an engine that has none
    entropy: float


class Slots:
    """Up to R responses in progress. What a step reads and writes are tensors that stay where they are.

    A row that has ended may be stepped on: it stays as it is. `retire` waits for a GPU; `add` does where it cuts a
    nucleus, and nowhere else.
    """

    def __init__(self, rows: int, sampling: Sampling, stops: Tensor, generator: Generator | None) -> None:
        """stops: [V] bool on the device, True for tokens that end a response."""
        device = stops.device
        self.sampling, self.stops, self.generator = sampling, stops, generator
        self.names: list[int] = []  # of the live rows, numbered as they were opened
        self._ahead: list[int] = []  # of the live rows: position minus step, while they go on
        self.opened = self.steps = 0
        self.token, self.at, self.count = torch.zeros(3, rows, dtype=torch.long, device=device)
        self.ended = torch.zeros(rows, dtype=torch.bool, device=device)
        self.entropy = torch.zeros(rows, device=device)  # summed
        # one more than there can be: where rows that have ended read and write
        self.tokens = torch.zeros(rows, sampling.max_tokens + 1, dtype=torch.long, device=device)
        self.uniform = torch.zeros(rows, sampling.max_tokens + 1, dtype=torch.float64, device=device)

    @property
    def live(self) -> int:
        return len(self.names)

    @property
    def length(self) -> int:
        """Positions that the next step of the live rows reads, the ones that it writes included: at most so many."""
        return 1 + self.steps + max(self._ahead)

    def open(self, lengths: Sequence[int]) -> slice:
        """Free rows for prompts of these lengths, behind the live ones."""
        rows = slice(self.live, self.live + len(lengths))
        self.names += range(self.opened, self.opened + len(lengths))
        self.opened += len(lengths)
        self._ahead += [length - self.steps for length in lengths]
        device = self.token.device
        self.at[rows] = torch.tensor(lengths, device=device) - 1
        self.count[rows], self.ended[rows], self.entropy[rows] = 0, False, 0.0
        if self.sampling.temperature:
            for row in range(rows.start, rows.stop):  # each its own numbers, whatever the batch
                self.uniform[row, :-1].uniform_(generator=self.generator)
        return rows

    def advance(self, logits: Tensor) -> None:
        """A step of all live rows: sample their next tokens from logits [B, V]."""
        self.add(slice(self.live), logits)
        self.steps += 1

    def add(self, rows: slice, logits: Tensor) -> None:
        """Sample a token for each of the rows that go on, from logits [B, V]."""
        count, ended = self.count[rows], self.ended[rows]  # views
        uniform = self.uniform[rows].gather(1, count[:, None]).squeeze(1)
        token, entropy = choose(logits, self.sampling, uniform)
        self.tokens[rows].scatter_(1, count[:, None], token[:, None])
        self.token[rows] = token
        self.entropy[rows] += entropy.masked_fill_(ended, 0.0)
        going = ~ended
        count += going
        self.at[rows] += going
        ended |= self.stops[token] | (count >= self.sampling.max_tokens)

    def retire(self, cache: Cache) -> dict[int, Response]:
        """Responses that have ended, by their row's number. Live rows from the end take their places."""
        ended = self.ended[: self.live].nonzero().flatten().tolist()
        if not ended:
            return {}
        names = [self.names[row] for row in ended]
        tokens, count, entropy = self.tokens[ended], self.count[ended], self.entropy[ended]
        stopped = self.stops[tokens.gather(1, count[:, None] - 1)].squeeze(1)
        parts = zip(names, *(t.tolist() for t in (tokens, count, stopped, entropy / count)), strict=True)
        found = {name: Response(tuple(t[:n]), not stop, mean) for name, t, n, stop, mean in parts}
        kept, gone = self.live - len(ended), set(ended)
        target = [row for row in ended if row < kept]
        source = [row for row in range(kept, self.live) if row not in gone]
        if source:
            here, there = (torch.tensor(rows, device=self.token.device) for rows in (source, target))
            cache.move(here, there, min(self.length, cache.length))
            for t in (self.token, self.at, self.count, self.ended, self.entropy, self.tokens, self.uniform):
                t[there] = t[here]
        for of_rows in (self.names, self._ahead):
            for hole, row in zip(target, source, strict=True):
                of_rows[hole] = of_rows[row]
            del of_rows[kept:]
        return found
