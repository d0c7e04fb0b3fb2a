"""Peak memory of one GPU: model states by ZeRO stage, activations, logits, and the rollouts' cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from intro.config import Hardware
from intro.cost.estimate.arithmetic import Lengths, ModelShape, width_of

# Bytes per position of a chunk (model/chunked_loss.py) and vocabulary entry while logits are formed.
# Update: logits and log-probs in fp32, which leave probabilities and their gradient in the model's width.
PLAIN_HEAD = 8
# With a posterior: the policy's probabilities beside the posterior's logits and log-probs. n = infinity: one more.
POSTERIOR_HEAD = 12
# KL to the base in the curves: log-probs, their probabilities, those of the base, and the difference or its product.
CURVES_HEAD = 16
SAMPLING = 24  # per row and vocabulary entry: logits, their sort by probability, running sums


@dataclass(frozen=True, slots=True)
class Load:
    """What a run puts on a GPU beside the model."""

    hardware: Hardware
    micro_batch_tokens: int
    prompt: int  # tokens, about
    lengths: Lengths  # of rollouts
    answers: Lengths  # of evaluation
    posterior: bool = False  # whether the loss needs both distributions at a time
    averaged: bool = False  # whether a moving average of the policy is kept

    def changed(self, **hardware: Any) -> Load:
        """The same load on other hardware."""
        return replace(self, hardware=self.hardware.model_copy(update=hardware))


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes on one GPU: states and frozen copies, which stay, and what each phase adds to them."""

    states: float
    frozen: float  # the base model, a moving average, under ZeRO-3 the whole copy that generates
    activations: float
    logits: float  # of a chunk, and the gradients of head and hidden states that chunks add up
    step: float  # a temporary of AdamW
    curves: float
    rollout: float  # one row, since the engine fits its batch into what is free
    answers: float  # an evaluation holds the weights and its rows, nothing else

    @property
    def parts(self) -> dict[str, dict[str, float]]:
        """Phase -> what it holds; the phases follow one another."""
        resident = {"states": self.states, "frozen": self.frozen}
        return {
            "update": resident | {"activations": self.activations, "logits": self.logits},
            "step": resident | {"AdamW's temporary": self.step},
            "curves": resident | {"logits of the KL": self.curves},
            "rollout": resident | {"cache": self.rollout},
            "answers": {"weights and cache": self.answers},
        }

    @property
    def phases(self) -> dict[str, float]:
        return {phase: sum(parts.values()) for phase, parts in self.parts.items()}

    @property
    def most(self) -> tuple[str, float]:
        """The phase with the largest total, and its bytes."""
        return max(self.phases.items(), key=lambda item: item[1])


def state_bytes(parameters: int, hardware: Hardware) -> float:
    """Weights, gradients and AdamW's states per GPU: 18 bytes a parameter in all, split by ZeRO stage.

    Under DeepSpeed bf16 weights (2) are split at stage 3, gradients, which backends/deepspeed.py adds up in fp32 (4),
    from stage 2 on, fp32 master weights and two moments (12) from stage 1 on; `offload` keeps those 12 in the host's
    memory. Stage 0 is fp32 throughout: 16.
    """
    ranks = hardware.processes
    if hardware.zero == 0:
        return (width_of(hardware) + 4 + 8) * parameters
    weights = width_of(hardware) * parameters / (ranks if hardware.zero >= 3 else 1)
    gradients = 4 * parameters / (ranks if hardware.zero >= 2 else 1)
    return weights + gradients + (0 if hardware.offload else 12 * parameters / ranks)


def peak(shape: ModelShape, load: Load) -> Peak:
    """The most that one GPU holds in each phase of a run. A micro-batch holds at least one row, however long."""
    hardware, width = load.hardware, width_of(load.hardware)
    limit = load.lengths.limit
    longest = load.prompt + limit
    tokens = max(load.micro_batch_tokens, longest)
    positions = tokens * limit / longest  # the micro-batch of the longest rows has the most logits
    weights = width * shape.parameters
    return Peak(
        states=state_bytes(shape.parameters, hardware),
        frozen=weights * (1 + load.averaged + (hardware.zero == 3)),
        activations=tokens * shape.activation_bytes(width, hardware.recompute),
        logits=loss_bytes(shape, positions, POSTERIOR_HEAD if load.posterior else PLAIN_HEAD, width),
        step=0 if hardware.offload or not hardware.gpus else 4 * shape.parameters / hardware.processes,
        curves=chunk_of(shape, positions) * shape.vocabulary * CURVES_HEAD,
        rollout=row_bytes(shape, longest, width),
        answers=weights + row_bytes(shape, load.prompt + load.answers.limit, width),
    )


def chunk_of(shape: ModelShape, positions: float) -> float:
    """Positions whose logits are held at a time."""
    from intro.model.chunked_loss import rows_per_chunk  # imports torch

    return min(positions, rows_per_chunk(shape.vocabulary))


def loss_bytes(shape: ModelShape, positions: float, per_cell: int, width: int) -> float:
    """The loss of `positions` and its gradients down to the hidden states.

    Several chunks add up dL/dhead [V, d] in fp32 and need the gradient of the present and of the last chunk beside it,
    in the end a copy for the engine; dL/dhidden [N, d] is kept.
    """
    chunk = chunk_of(shape, positions)
    sums = 0 if chunk == positions else (4 + 2 * width) * shape.head + width * positions * shape.hidden
    return chunk * shape.vocabulary * per_cell + sums


def row_bytes(shape: ModelShape, tokens: int, width: int) -> float:
    """Cache of one row of `tokens`, twice since it is copied when it grows, and what sampling its next token takes."""
    return 2 * tokens * shape.cache_bytes(width) + SAMPLING * shape.vocabulary


def remedies(load: Load) -> Iterator[tuple[str, Load]]:
    """What a config may change to need less memory, the cheapest first; each comes with the load it makes."""
    hardware = load.hardware
    longest, budgets = load.prompt + load.lengths.limit, [load.micro_batch_tokens]
    while budgets[-1] // 2 >= longest:
        budgets.append(budgets[-1] // 2)
    if budgets[-1] > longest:
        budgets.append(longest)  # one row
    factors, stages = ((1, 2, 4, 8), range(max(1, hardware.zero), 4)) if hardware.gpus else ((1,), (hardware.zero,))
    dtype = "bfloat16" if hardware.gpus else hardware.dtype
    recomputed = dict.fromkeys((hardware.recompute, True))
    for factor, recompute, zero, budget in product(factors, recomputed, stages, budgets):
        layout = {"gpus": factor * hardware.gpus, "processes": factor * hardware.processes}
        other = load.changed(**layout, zero=zero, dtype=dtype, recompute=recompute)
        changes = {
            f"micro_batch_tokens: {budget}": budget != load.micro_batch_tokens,
            f"zero: {zero}": zero != hardware.zero,
            "recompute: true": recompute != hardware.recompute,
            f"gpus: {layout['gpus']}": factor != 1,
            f"dtype: {dtype}": dtype != hardware.dtype,
        }
        text = ", ".join(change for change, made in changes.items() if made)
        yield text, replace(other, micro_batch_tokens=budget)
