"""From rationales to a step: groups of G samples, prompts that keep none, and means over prompts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product

import sympy as sp
from sympy import log

from intro.theory.decide import Equation
from intro.theory.registry import counterexample, identity
from intro.theory.sequence import GRADED, log_likelihood_gradient
from intro.theory.setting import END_TOKEN, FIXED_LENGTH, ONE_SOFTMAX, Setting

PROMPTS = r"a batch of prompts $x$ with $K_x$ kept of $G$ samples each"


def group_mean(s: Setting, size: int) -> sp.Matrix:
    """E of the mean of grad log pi(z|x) over the kept of `size` samples (zero when none is kept), by enumeration."""
    share = defaultdict(list)  # of each rationale: chance of the group times its part of the mean
    for group in product(s.rationales, repeat=size):
        kept = [z for z in group if s.likelihood(z) != 0]
        for z in kept:
            share[z].append(sp.Mul(*(s.prob(u) for u in group)) / len(kept))
    return sum((sp.Add(*parts) * s.score(z) for z, parts in share.items()), start=s.zero())


def group_size(s: Setting) -> int:
    """G small enough to enumerate all groups."""
    return 4 if s.length == 1 else 2


@identity(
    "What a group of G teaches: the log-likelihood to order G",
    r"E\Big[\frac{1[K > 0]}{K} \sum_{i \text{ kept}} \nabla \log \pi(z_i \mid x)\Big]"
    r" = (1 - (1 - \pi(y \mid x))^G)\, \nabla \log \pi(y \mid x)"
    r" = -\nabla \sum_{k=1}^{G} \frac{(1 - \pi(y \mid x))^k}{k}",
    GRADED + r"; mean over the $K$ kept of $G$ samples, prompts with $K = 0$ count as zero",
    settings=(ONE_SOFTMAX, END_TOKEN),
)
def group_objective(s: Setting) -> list[Equation]:
    size, likelihood = group_size(s), s.marginal()
    left = group_mean(s, size)
    weighted = (1 - (1 - likelihood) ** size) * log_likelihood_gradient(s)
    series = -sp.Add(*((1 - likelihood) ** k / k for k in range(1, size + 1)))
    return [s.equation(left, weighted), s.equation(left, s.grad(series))]


@counterexample(
    "Dropping prompts that kept nothing reweights prompts",
    r"E\Big[\frac{1[K > 0]}{K} \sum_{i \text{ kept}} \nabla \log \pi(z_i \mid x)\Big] = \nabla \log \pi(y \mid x)",
    GRADED + r"; $K$ kept of $G$ samples",
    gap=r"-(1 - \pi(y \mid x))^G\, \nabla \log \pi(y \mid x)",
    settings=(ONE_SOFTMAX, END_TOKEN),
)
def dropped_prompts(s: Setting) -> list[Equation]:
    size, target = group_size(s), log_likelihood_gradient(s)
    return [s.equation(group_mean(s, size), target, -((1 - s.marginal()) ** size) * target)]


def two_prompts(s: Setting) -> tuple[Setting, Setting]:
    """The same setting for two prompts, with separate symbols."""
    return replace(s, label="1"), replace(s, label="2")


def over_prompts(prompts: tuple[Setting, Setting], scalar: sp.Expr) -> sp.Matrix:
    """Gradient of a scalar by the logits of both prompts."""
    return sp.Matrix.vstack(*(s.grad(scalar) for s in prompts))


def kept_scores(s: Setting) -> sp.Matrix:
    """E of 1[z kept] grad log pi(z|x) for one sample."""
    return sum((s.likelihood(z) * s.prob(z) * s.score(z) for z in s.kept), start=s.zero())


def prompt_mean(prompts: tuple[Setting, Setting]) -> sp.Matrix:
    """The mean over prompts of the mean over a prompt's kept rationales, in the limit of many."""
    return sp.Matrix.vstack(*(kept_scores(s) / s.marginal() / len(prompts) for s in prompts))


def global_mean(prompts: tuple[Setting, Setting]) -> sp.Matrix:
    """The mean over all kept rationales of the batch, in the limit of many."""
    count = sp.Add(*(s.marginal() for s in prompts))
    return sp.Matrix.vstack(*(kept_scores(s) / count for s in prompts))


def joint_equation(prompts: tuple[Setting, Setting], left: sp.Matrix, right: sp.Matrix, gap=None) -> Equation:
    return Equation(left, right, {**prompts[0].gauge, **prompts[1].gauge}, gap)


@identity(
    "A mean per prompt follows the log-likelihood",
    r"\frac1P \sum_x E\Big[\frac{1}{K_x} \sum_{i \text{ kept}} \nabla \log \pi(z_i \mid x)\Big]"
    r" = \nabla \frac1P \sum_x \log \pi(y \mid x)",
    PROMPTS + r", $G \to \infty$ or given $K_x > 0$; $P = 2$",
)
def mean_per_prompt(s: Setting) -> list[Equation]:
    prompts = two_prompts(s)
    objective = sp.Add(*(log(u.marginal()) for u in prompts)) / len(prompts)
    return [joint_equation(prompts, prompt_mean(prompts), over_prompts(prompts, objective))]


@identity(
    "One mean over all kept rationales follows the expected reward",
    r"\frac{\sum_x E \sum_{i \text{ kept}} \nabla \log \pi(z_i \mid x)}{\sum_x E[K_x]}"
    r" = \frac{\nabla \sum_x \pi(y \mid x)}{\sum_x \pi(y \mid x)}",
    PROMPTS + r", many prompts; $P = 2$",
)
def mean_over_kept(s: Setting) -> list[Equation]:
    prompts = two_prompts(s)
    reward = sp.Add(*(u.marginal() for u in prompts))
    return [joint_equation(prompts, global_mean(prompts), over_prompts(prompts, reward) / reward)]


@counterexample(
    "The two means are different objectives",
    r"\frac{\sum_x E \sum_{i \text{ kept}} \nabla \log \pi(z_i \mid x)}{\sum_x E[K_x]}"
    r" = \nabla \frac1P \sum_x \log \pi(y \mid x)",
    PROMPTS + r"; $P = 2$",
    gap=r"\Big(\frac{\pi(y \mid x)}{\sum_{x'} \pi(y' \mid x')} - \frac1P\Big) \nabla \log \pi(y \mid x)"
    r" \quad \text{at the logits of prompt } x",
    settings=(ONE_SOFTMAX, FIXED_LENGTH),
)
def means_differ(s: Setting) -> list[Equation]:
    prompts = two_prompts(s)
    reward = sp.Add(*(u.marginal() for u in prompts))
    gap = sp.Matrix.vstack(*((u.marginal() / reward - sp.Rational(1, 2)) * log_likelihood_gradient(u) for u in prompts))
    return [joint_equation(prompts, global_mean(prompts), prompt_mean(prompts), gap)]
