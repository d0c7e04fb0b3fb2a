"""From documents to batches: token ids, buckets of similar length, padding and labels."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from intro.types import IntroError

IGNORE = -100  # label of a position that the loss leaves out


def encode_corpus(
    documents: list[tuple[str, str]], tokenizer: Tokenizer, end: str = "<eos>"
) -> list[tuple[list[int], int]]:
    """Token ids with the token `end`, and the prompt's length, of each (prompt, response)."""
    eos = tokenizer.token_to_id(end)
    prompts = tokenizer.encode_batch([p for p, _ in documents], add_special_tokens=False)
    responses = tokenizer.encode_batch([r for _, r in documents], add_special_tokens=False)
    return [(p.ids + r.ids + [eos], len(p.ids)) for p, r in zip(prompts, responses, strict=True)]


def bucketed_batches(lengths: list[int], batch: int, steps: int, generator: torch.Generator) -> list[list[int]]:
    """Document indices per step: neighbours in length share a batch, batches come in random order, pass after pass."""
    if len(lengths) < batch:
        raise IntroError(
            f"pretraining.batch: {batch} documents make a batch, the corpus has {len(lengths)}; "
            "raise data.corpus_documents"
        )
    order: list[list[int]] = []
    while len(order) < steps:
        jitter = torch.rand(len(lengths), generator=generator) * 8  # neighbours differ from pass to pass
        ranked = (torch.tensor(lengths) + jitter).argsort().tolist()
        batches = [ranked[i : i + batch] for i in range(0, len(ranked) - batch + 1, batch)]
        order += [batches[i] for i in torch.randperm(len(batches), generator=generator)]
    return order[:steps]


def collate(rows: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    """Right-padded ids and labels [B, T]; prompts and padding are not labels."""
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full_like(ids, IGNORE)
    for i, (tokens, prompt) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        labels[i, prompt : len(tokens)] = ids[i, prompt : len(tokens)]
    return ids, labels
