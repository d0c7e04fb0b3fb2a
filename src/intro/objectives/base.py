"""What a method is, and the one place where a loss gets its normalisation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from intro.config import Method, Normalisation
from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from torch import Generator, Tensor


Network = Literal["live", "frozen", "average"]
Answer = Literal["gold", "wrong", "none"]


@dataclass(frozen=True, slots=True)
class Posterior:
    """Where pi(. | x (+) y) comes from: which network, and what its prompt holds."""

    network: Network
    decay: float  # of the moving average, per step
    prompt: str  # name of the template of x (+) y
    answer: Answer


@dataclass(frozen=True, slots=True)
class ForwardPasses:
    """Forward passes of a network per rationale in one step."""

    before: float  # on every rationale, before it is credited
    update: float  # on each that an update learns from, the one with gradient included

    @property
    def total(self) -> float:
        return self.before + self.update


def option(default: Any, meaning: str, source: str, **bounds: float) -> Any:
    """A method's own option: its default, what it means, where the default comes from, and bounds as of `Field`."""
    return Field(default, description=f"{meaning}. Source: {source}", **bounds)


class Objective(Method):
    """A method: its options with their defaults, the signals it needs, which rationales it credits, and its loss."""

    needs: ClassVar[frozenset[Signal]]

    @abstractmethod
    def credit(self, outcomes: Outcomes) -> Credit:
        """Which of the P x G rationales enter the loss, and their advantages."""

    @abstractmethod
    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        """Scalar to minimise: the sum over positions of weights [N] times the per-token loss."""

    @property
    def posterior_source(self) -> Posterior | None:
        """Where the estimated posterior comes from; None for a method that learns without one."""
        return None

    @property
    def forward_passes(self) -> ForwardPasses:
        """What the signals cost. A step's first update needs no old log-probs: the policy has not moved yet."""
        later = 1 - 1 / self.updates_per_rollout
        before = sum(signal in self.needs for signal in (Signal.LOGPROBS, Signal.REFERENCE))
        return ForwardPasses(before, 1 + (Signal.POSTERIOR in self.needs) + later * (Signal.OLD_LOGPROBS in self.needs))


def rationale_weights(lengths: Tensor, prompts: Tensor, normalisation: Normalisation) -> Tensor:
    """The weight of each token of each kept rationale [R], from GLOBAL counts over the whole update.

    lengths [R]: |z|; prompts [R]: which prompt a rationale answers. With p the prompt of a rationale:
    "prompt"     1 / (|z| * kept of p * prompts that kept any)   Eq. 7: the mean is per (x, y)
    "rationale"  1 / (|z| * kept rationales)                     weights a prompt by its success rate
    "token"      1 / (all kept tokens)
    "sum"        1 / (kept rationales)                           Prop. 2.1: no 1/|z|
    The trainer multiplies nothing else in, so any split into micro-batches gives the same gradient.
    """
    lengths = lengths.double()
    total = max(len(lengths), 1)
    match normalisation:
        case "prompt":
            _, which, kept = prompts.unique(return_inverse=True, return_counts=True)
            return 1 / (lengths * kept[which] * max(len(kept), 1))
        case "rationale":
            return 1 / (lengths * total)
        case "token":
            return (1 / lengths.sum()).expand(len(lengths))
        case "sum":
            return lengths.new_full(lengths.shape, 1 / total)
    raise ValueError(f"normalisation: expected prompt, rationale, token or sum, found {normalisation!r}")


# ---------------------------------------------------------------- shared by methods


def every_rationale(outcomes: Outcomes) -> Tensor:
    """No filter: all [P, G] rationales enter the loss."""
    return outcomes.truncated.new_ones(outcomes.truncated.shape)


def correct_and_complete(outcomes: Outcomes) -> Tensor:
    """The filter of Algorithm 1 [P, G]: right answer, and not cut off (a cut rationale has no end to learn)."""
    return (outcomes.rewards > 0) & ~outcomes.truncated


def group_advantage(rewards: Tensor) -> Tensor:
    """r - mean over the group's G samples [P, G]."""
    return rewards - rewards.mean(dim=1, keepdim=True)


def own_logprobs(batch: LossBatch) -> Tensor:
    """log pi(z_t | x, z_<t) of the rationales' own tokens [N], differentiable."""
    from intro.model.logprobs import token_logprobs

    return token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)


def clipped_ratio(logp: Tensor, old_logprobs: Tensor | None, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """PPO's per-token loss -min(rho A, clip(rho, 1-e, 1+e) A) [N], and where the clip acts [N] bool.

    Without old log-probs the policy is still the one that sampled, and rho is 1; its gradient is not zero.
    """
    rho = (logp - (logp.detach() if old_logprobs is None else old_logprobs)).exp()
    free, held = rho * advantage, rho.clamp(1 - clip, 1 + clip) * advantage
    return -free.minimum(held), held < free
