"""All rationales of a small random transformer for one question, and autograd by all of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from intro.model.logprobs import log_distribution, token_logprobs
from intro.model.scoring import head_of, response_hidden
from intro.objectives.intro import Intro
from intro.types import LossBatch

VOCABULARY, LENGTH, END = 5, 3, 4
QUESTION, ANSWER = (0, 1), (3, 2)
NEVER = -1e4  # log of a probability that is zero in float64, and finite so that 0 * log p = 0


def all_rationales() -> list[tuple[int, ...]]:
    prefixes = [s for t in range(LENGTH) for s in product(range(VOCABULARY - 1), repeat=t)]
    steps = [(*s, v) for s in prefixes for v in range(VOCABULARY)]
    return [z for z in steps if len(z) == LENGTH or z[-1] == END]


def is_correct(z: tuple[int, ...]) -> bool:
    return z[-1] == END and sum(z[:-1]) % 3 == 1


@dataclass
class World:
    """One question, all its rationales end to end: R rationales, N positions."""

    model: Qwen2ForCausalLM
    question: tuple[int, ...] = QUESTION

    @cached_property
    def rationales(self) -> list[tuple[int, ...]]:
        return all_rationales()

    @cached_property
    def good(self) -> Tensor:  # [R]
        return torch.tensor([float(is_correct(z)) for z in self.rationales], dtype=torch.float64)

    @cached_property
    def lengths(self) -> Tensor:  # [R]
        return torch.tensor([len(z) for z in self.rationales])

    @cached_property
    def owner(self) -> Tensor:  # [N]
        return torch.repeat_interleave(torch.arange(len(self.rationales)), self.lengths)

    @cached_property
    def tokens(self) -> Tensor:  # [N]
        return torch.tensor([v for z in self.rationales for v in z])

    @cached_property
    def hidden(self) -> Tensor:  # [N, d], of pi(. | x, z_<t)
        return response_hidden(self.model, [self.question] * len(self.rationales), self.rationales)

    @cached_property
    def prompted_hidden(self) -> Tensor:  # [N, d], of the estimated posterior pi(. | x (+) y, z_<t)
        prompts = [self.question + ANSWER] * len(self.rationales)
        return response_hidden(self.model, prompts, self.rationales).detach()

    @property
    def head(self) -> Tensor:
        return head_of(self.model)

    @cached_property
    def logp(self) -> Tensor:  # [N, V]
        return log_distribution(self.hidden, self.head)

    @cached_property
    def token_logp(self) -> Tensor:  # [N]
        return token_logprobs(self.hidden, self.head, self.tokens)

    @cached_property
    def log_prob(self) -> Tensor:  # [R] log pi(z|x)
        return torch.zeros(len(self.rationales), dtype=torch.float64).index_add(0, self.owner, self.token_logp)

    @property
    def marginal(self) -> Tensor:
        """pi(y|x)."""
        return (self.good * self.log_prob.exp()).sum()

    @cached_property
    def posterior(self) -> Tensor:  # [R] pi(z | x, y), detached
        return (self.good * self.log_prob.exp() / self.marginal).detach()

    @cached_property
    def true_token_posterior(self) -> Tensor:  # [N, V] log pi(. | x, y, z_<t) on the prefixes of kept rationales
        mass: dict[tuple[int, ...], float] = {}
        for z, p in zip(self.rationales, self.posterior.tolist(), strict=True):
            for t in range(len(z) + 1):
                mass[z[:t]] = mass.get(z[:t], 0.0) + p
        rows = []
        for z in self.rationales:
            for t in range(len(z)):
                after = [mass.get((*z[:t], v), 0.0) for v in range(VOCABULARY)]
                rows.append([a / mass[z[:t]] if mass[z[:t]] else 1 / VOCABULARY for a in after])
        table = torch.tensor(rows, dtype=torch.float64)
        return torch.where(table > 0, table.log(), torch.full_like(table, NEVER))

    @cached_property
    def estimated_posterior(self) -> Tensor:  # [N, V]
        return log_distribution(self.prompted_hidden, self.head).detach()

    def grad(self, scalar: Tensor) -> Tensor:
        """The gradient by every weight of the network, as one vector."""
        weights = [p for p in self.model.parameters() if p.requires_grad]
        found = torch.autograd.grad(scalar, weights, retain_graph=True, allow_unused=True)
        return torch.cat(
            [(torch.zeros_like(w) if g is None else g).flatten() for w, g in zip(weights, found, strict=True)]
        )

    def scored(self, log_posterior: Tensor | None) -> LossBatch:
        """The batch that an objective sees; any log-posterior [N, V] enters through an identity head."""
        return LossBatch(
            tokens=self.tokens,
            rationale=self.owner,
            advantage=self.good,
            policy_hidden=self.hidden,
            lm_head=self.head,
            posterior_hidden=self.prompted_hidden if log_posterior is None else log_posterior,
            posterior_head=None if log_posterior is None else torch.eye(VOCABULARY, dtype=torch.float64),
        )

    def update(
        self, objective: Intro, log_posterior: Tensor | None = None, per_rationale: Tensor | None = None
    ) -> Tensor:
        """The expected ascent direction of an objective over z ~ posterior; weights [R] default to exactly that."""
        weights = (self.posterior if per_rationale is None else per_rationale)[self.owner]
        return -self.grad(objective.loss(self.scored(log_posterior), weights, torch.Generator()).loss)


def network(seed: int) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.4,  # large enough for a policy that is far from uniform
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    model = Qwen2ForCausalLM(config)
    for name, module in list(model.named_modules()):
        if name.endswith("norm"):  # the original one computes in float32 whatever its weights are
            model.set_submodule(name, torch.nn.RMSNorm(16, eps=module.variance_epsilon))
    return model.double().eval()
