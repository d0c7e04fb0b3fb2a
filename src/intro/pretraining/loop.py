"""The training loop of base models: cross-entropy on the corpus's responses."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import PreTrainedModel

from intro.config import Pretraining
from intro.pretraining.corpus import IGNORE, bucketed_batches, collate
from intro.pretraining.optimizers import Optimizers


def pretrain(
    model: PreTrainedModel,
    rows: list[tuple[list[int], int]],
    settings: Pretraining,
    seed: int = 0,
    name: str = "pretraining",
) -> list[float]:
    """Train in place on response tokens only; return the loss per token of each step (nats).

    rows: token ids and length of the prompt of each document. seed: decides their order. name: of the progress bar.
    """
    generator = torch.Generator().manual_seed(seed)
    labelled = [len(ids) - prompt for ids, prompt in rows]
    # A constant, not the batch's own count: a batch holds documents of one length, and a mean over its tokens would
    # give a token of a short document more weight.
    usual = settings.batch * sum(labelled) / len(labelled)
    optimizers, losses = Optimizers(model, settings), []
    model.train()
    batches = bucketed_batches([len(ids) for ids, _ in rows], settings.batch, settings.steps, generator)
    with tqdm(batches, desc=name, unit="step", mininterval=1.0, dynamic_ncols=True) as bar:
        for step, batch in enumerate(bar):
            losses.append(train_step(model, [rows[i] for i in batch], usual, optimizers, step))
            bar.set_postfix(loss=f"{losses[-1]:.3g}", refresh=False)
    model.eval()
    return losses


def train_step(
    model: PreTrainedModel, rows: list[tuple[list[int], int]], tokens: float, optimizers: Optimizers, step: int
) -> float:
    """One step on the rows' summed loss divided by `tokens`; return the loss per token (nats)."""
    ids, labels = collate(rows)
    logits = model(input_ids=ids, use_cache=False).logits
    total = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    (total / tokens).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizers.step(step)
    return float(total.detach()) / int((labels != IGNORE).sum())
