"""Frozen dataclasses shared across packages. Torch is imported for annotations only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class IntroError(Exception):
    """An error that the user can fix; its message says what was expected, what was found and what to do."""


def install(extra: str) -> str:
    """The command that installs an extra of this project, for error messages about missing packages."""
    return f"pip install -c constraints.txt -e '.[{extra}]'"


def sentence_of(error: BaseException) -> str | None:
    """The message for an error that the user can fix; None for an error of this code."""
    text = " ".join(str(error).split())
    if "No space left on device" in text:  # also from within safetensors and torch, which have errors of their own
        where = f"{error.filename}: " if getattr(error, "filename", None) else ""
        return (
            f"{where}the disk is full and the file was not written; free some space (`intro doctor` says how much a "
            "config needs) and run the same command again"
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, not imported here
        return (
            f"out of memory ({text or 'of this machine'}); lower training.micro_batch_tokens or evaluation.batch, set "
            "hardware.recompute, or take more GPUs (`intro plan` shows what fits)"
        )
    return text if isinstance(error, IntroError | OSError) else None


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its gold answer y; `rationale` is a gold rationale z* where one exists.

    `extra` holds what a benchmark's grader needs beside the answer: unit tests, tolerances, instructions.
    """

    id: str
    benchmark: str
    question: str
    answer: str
    rationale: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Grade:
    """A grader's result for one response. `reason` is "correct", "wrong answer", "no answer", ..."""

    correct: bool
    extracted: str | None
    reason: str


class Signal(Enum):
    """What an objective may require the trainer to compute before its loss."""

    ROLLOUTS = auto()  # own samples, graded
    GOLD_RATIONALE = auto()  # the data set's rationale instead of own samples
    POSTERIOR = auto()  # hidden states of the pass whose prompt also holds the answer
    LOGPROBS = auto()  # log pi(z|x) of every rationale, known before it is credited
    OLD_LOGPROBS = auto()  # log-probs under the policy that sampled, for a ratio to the present one
    REFERENCE = auto()  # log-probs under the base model
    ANSWER_LOGPROB = auto()  # rationales end in the gold answer, whose tokens are marked


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Rewards and log-probs of a step's rationales, computed before the loss: P prompts x G samples."""

    rewards: Tensor  # [P, G] in {0, 1}
    truncated: Tensor  # [P, G] bool
    logprobs: Tensor | None = None  # [P, G] log pi(z|x), summed over the rationale
    reference_logprobs: Tensor | None = None  # [P, G] log pi_0(z|x)
    answer_logprobs: Tensor | None = None  # [P, G] log pi(y|x,z)


@dataclass(frozen=True, slots=True)
class Credit:
    """Which rationales take part in the loss, and with what advantage."""

    keep: Tensor  # [P, G] bool
    advantage: Tensor  # [P, G]


@dataclass(frozen=True, slots=True)
class LossBatch:
    """A micro-batch after its passes: N response positions of R rationales, packed end to end."""

    tokens: Tensor  # [N] the rationales' own tokens z_t
    rationale: Tensor  # [N] in 0..R-1: which rationale a position belongs to
    advantage: Tensor  # [R]
    policy_hidden: Tensor  # [N, d], differentiable
    lm_head: Tensor  # [V, d], differentiable
    posterior_hidden: Tensor | None = None  # [N, d], detached
    posterior_head: Tensor | None = None  # [V, d], detached; None: the policy's own
    old_logprobs: Tensor | None = None  # [N]; None: the policy is still the one that sampled
    reference_logprobs: Tensor | None = None  # [N]
    answer_mask: Tensor | None = None  # [N] bool, the forced gold answer y
    position: Tensor | None = None  # [N] t of z_t, from 0; training always gives it


@dataclass(frozen=True, slots=True)
class Loss:
    """A scalar to minimise, already scaled by the global weights, and detached sums to log."""

    loss: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)
