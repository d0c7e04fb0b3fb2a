"""Base models of the tiny world: Qwen2 / Qwen3 architectures trained on its corpus, saved as Hugging Face folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim._muon import _adjust_lr

from intro.config import Model, Pretraining
from intro.types import IntroError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

IGNORE = -100


def build_model(model: Model, tokenizer: Tokenizer, context: int, seed: int) -> PreTrainedModel:
    """A randomly initialised model of the configured architecture and the tokenizer's vocabulary."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        model.architecture,
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=model.hidden,
        intermediate_size=model.intermediate or 4 * model.hidden,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        num_key_value_heads=model.kv_heads,
        head_dim=model.hidden // model.heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id("<eos>"),
        pad_token_id=tokenizer.token_to_id("<pad>"),
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def encode_corpus(documents: list[tuple[str, str]], tokenizer: Tokenizer) -> list[tuple[list[int], int]]:
    """Token ids with the end token, and the prompt's length, of each (prompt, response)."""
    eos = tokenizer.token_to_id("<eos>")
    prompts = tokenizer.encode_batch([p for p, _ in documents], add_special_tokens=False)
    responses = tokenizer.encode_batch([r for _, r in documents], add_special_tokens=False)
    return [(p.ids + r.ids + [eos], len(p.ids)) for p, r in zip(prompts, responses, strict=True)]


def bucketed_batches(lengths: list[int], batch: int, steps: int, generator: torch.Generator) -> list[list[int]]:
    """Document indices per step: neighbours in length share a batch, batches come in random order, pass after pass."""
    if len(lengths) < batch:
        raise IntroError(f"pretraining.batch: {batch} documents wanted, the corpus has {len(lengths)}; make it longer")
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


class Muon(torch.optim.Muon):
    """Torch's Muon, but with Newton-Schulz in the weights' own precision and for all matrices of a shape at once.

    Torch's casts to bf16, which a processor without such products emulates: that takes longer than the rest of a step
    (benchmarks/pretraining.py), and processors with and without them would train different base models.
    """

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            weights: list[nn.Parameter] = []
            gradients: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, weights, gradients, momenta)
            if not weights:
                continue
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            by_shape: dict[torch.Size, list[int]] = defaultdict(list)
            for i, weight in enumerate(weights):
                by_shape[weight.shape].append(i)
            iteration = group["ns_coefficients"], group["ns_steps"], group["eps"]
            for shape, members in by_shape.items():
                directions = orthogonalised(torch.stack([updates[i] for i in members]), *iteration)
                rate = _adjust_lr(group["lr"], group["adjust_lr_fn"], shape)
                torch._foreach_add_([weights[i] for i in members], directions.unbind(), alpha=-rate)


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton-Schulz iterations of torch's Muon: matrices [k, rows, columns] with singular values near 1."""
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Optimizers:
    """Muon on the matrices inside the layers, AdamW on embeddings, norms and biases; linear decay to zero."""

    def __init__(self, model: nn.Module, settings: Pretraining, muon: type[torch.optim.Muon] = Muon) -> None:
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.parts = [
            muon(matrices, lr=settings.muon_lr, weight_decay=0.0),
            torch.optim.AdamW(rest, lr=settings.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.peaks = [settings.muon_lr, settings.adamw_lr]
        self.steps, self.warmup = settings.steps, max(1, settings.steps // 20)

    def step(self, step: int) -> None:
        share = min(1.0, (step + 1) / self.warmup) * (1 - step / self.steps)
        for optimizer, peak in zip(self.parts, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def pretrain(
    model: PreTrainedModel,
    rows: list[tuple[list[int], int]],
    settings: Pretraining,
    seed: int = 0,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Train in place on rationale tokens only; returns the loss per token of each step (nats).

    `seed` decides the order of the rows.
    """
    generator = torch.Generator().manual_seed(seed)
    labelled = [len(ids) - prompt for ids, prompt in rows]
    # a constant, not the batch's own count: batches hold one length each, and a token mean would favour short ones
    usual = settings.batch * sum(labelled) / len(labelled)
    optimizers, losses = Optimizers(model, settings), []
    model.train()
    batches = bucketed_batches([len(ids) for ids, _ in rows], settings.batch, settings.steps, generator)
    for step, batch in enumerate(batches):
        losses.append(train_step(model, [rows[i] for i in batch], usual, optimizers, step))
        report(step + 1, losses[-1])
    model.eval()
    return losses


def train_step(
    model: PreTrainedModel, rows: list[tuple[list[int], int]], tokens: float, optimizers: Optimizers, step: int
) -> float:
    """One step on the rows' summed loss over `tokens`; returns the loss per token (nats)."""
    ids, labels = collate(rows)
    logits = model(input_ids=ids, use_cache=False).logits
    total = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    (total / tokens).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizers.step(step)
    return float(total.detach()) / int((labels != IGNORE).sum())


def save_base(model: PreTrainedModel, tokenizer: Tokenizer, settings: dict[str, object], folder: Path) -> None:
    """An ordinary Hugging Face folder: weights, config and tokenizer."""
    from transformers import PreTrainedTokenizerFast

    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings).save_pretrained(folder)
