"""Proposition 2.1 and its neighbours: statements about whole rationales."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp
from sympy import log

from intro.theory.decide import Equation
from intro.theory.registry import counterexample, identity
from intro.theory.setting import Setting

GRADED = r"$p(y \mid z) = 1[f(z) = y]$"


def log_likelihood_gradient(s: Setting) -> sp.Matrix:
    """grad log pi(y|x), from Eq. 2."""
    return s.grad(log(s.marginal()))


def posterior_score(s: Setting) -> sp.Matrix:
    """E over the posterior of grad log pi(z|x)."""
    return s.expect(s.posterior, s.score)


def alignment(s: Setting, detached: bool) -> sp.Expr:
    """Eq. 3: KL(posterior || policy), the posterior a constant or a function of the policy."""
    posterior = [s.posterior(z) for z in s.kept]
    return s.kl([s.detach(q) for q in posterior] if detached else posterior, [s.prob(z) for z in s.kept])


@identity(
    "Proposition 2.1", r"\nabla \log \pi(y \mid x) = E_{z \sim \pi(z \mid x,y)}[\nabla \log \pi(z \mid x)]", GRADED
)
def proposition_2_1(s: Setting) -> list[Equation]:
    return [s.equation(log_likelihood_gradient(s), posterior_score(s))]


@identity(
    "Eq. 3 is the log-likelihood, in value",
    r"\mathrm{KL}(\pi(z \mid x,y) \,\|\, \pi(z \mid x)) = -\log \pi(y \mid x)",
    GRADED,
)
def alignment_value(s: Setting) -> list[Equation]:
    return [s.equation(alignment(s, detached=False), -log(s.marginal()))]


@identity(
    "The log-ratio is constant on the support",
    r"\log \frac{\pi(z \mid x,y)}{\pi(z \mid x)} = -\log \pi(y \mid x)",
    GRADED + r"; every $z$ with $f(z) = y$",
)
def constant_log_ratio(s: Setting) -> list[Equation]:
    ratios = [log(s.posterior(z) / s.prob(z)) for z in s.kept]
    return [s.equation(ratios, [-log(s.marginal())] * len(ratios))]


@identity(
    "The posterior's own score is centred", r"E_{z \sim \pi(z \mid x,y)}[\nabla \log \pi(z \mid x,y)] = 0", "none"
)
def centred_posterior_score(s: Setting) -> list[Equation]:
    total = sum((s.posterior(z) * s.grad(log(s.posterior(z))) for z in s.kept), start=s.zero())
    return [s.equation(total, s.zero())]


@identity(
    "Detaching the posterior changes nothing",
    r"\nabla\, \mathrm{KL}(\mathrm{sg}[\pi(z \mid x,y)] \,\|\, \pi(z \mid x))"
    r" = \nabla\, \mathrm{KL}(\pi(z \mid x,y) \,\|\, \pi(z \mid x)) = -\nabla \log \pi(y \mid x)",
    GRADED,
)
def detached_posterior(s: Setting) -> list[Equation]:
    detached, attached = (s.grad(alignment(s, d)) for d in (True, False))
    return [s.equation(detached, attached), s.equation(detached, -log_likelihood_gradient(s))]


@identity(
    "Determinism is not needed for the gradient",
    r"\nabla \log \pi(y \mid x) = E_{z \sim \pi(z \mid x,y)}[\nabla \log \pi(z \mid x)]",
    r"$p(y \mid z)$ any constants in $(0, \infty)$, free of $\theta$",
)
def constant_likelihood_gradient(s: Setting) -> list[Equation]:
    return proposition_2_1(replace(s, answer="constant"))


@counterexample(
    "Determinism is needed for the value",
    r"\mathrm{KL}(\pi(z \mid x,y) \,\|\, \pi(z \mid x)) = -\log \pi(y \mid x)",
    r"$p(y \mid z)$ any constants, free of $\theta$",
    gap=r"E_{z \sim \pi(z \mid x,y)}[\log p(y \mid z)]",
)
def constant_likelihood_value(s: Setting) -> list[Equation]:
    s = replace(s, answer="constant")
    gap = s.expect(s.posterior, lambda z: log(s.likelihood(z)))
    return [s.equation(alignment(s, detached=False), -log(s.marginal()), gap)]


@counterexample(
    "A trained answer adds a term",
    r"\nabla \log \pi(y \mid x) = E_{z \sim \pi(z \mid x,y)}[\nabla \log \pi(z \mid x)]",
    r"$p(y \mid z) = \pi_\theta(y \mid x, z)$, a softmax that is trained too",
    gap=r"E_{z \sim \pi(z \mid x,y)}[\nabla \log p(y \mid z)]",
)
def trained_likelihood_gradient(s: Setting) -> list[Equation]:
    s = replace(s, answer="trained")
    gap = s.expect(s.posterior, lambda z: s.grad(log(s.likelihood(z))))
    return [s.equation(log_likelihood_gradient(s), posterior_score(s), gap)]


def first_accepted(s: Setting, z: tuple[int, ...]) -> sp.Expr:
    """P(z is the first accepted draw) = sum_k P(k rejections) pi(z|x) p(y|z)."""
    rejected, k = sp.Symbol("r", positive=True), sp.Symbol("k", integer=True)
    series, _ = sp.summation(rejected**k, (k, 0, sp.oo)).args[0]  # the branch |r| < 1
    rejection = sp.Add(*((1 - s.likelihood(u)) * s.prob(u) for u in s.rationales))
    return series.xreplace({rejected: rejection}) * s.prob(z) * s.likelihood(z)


@identity(
    "Rejection samples the posterior exactly",
    r"\sum_{k \ge 0} (1 - \pi(y \mid x))^k \; \pi(z \mid x)\, 1[f(z) = y] = \pi(z \mid x,y)",
    GRADED + "; draw from the policy until the answer is right",
)
def rejection_samples_posterior(s: Setting) -> list[Equation]:
    accepted = [first_accepted(s, z) for z in s.kept]
    return [s.equation(accepted, [s.posterior(z) for z in s.kept])]


@identity(
    "Filter-only training is unbiased",
    r"E[\nabla \log \pi(z \mid x) \mid z \text{ accepted}] = \nabla \log \pi(y \mid x)",
    GRADED + r"; fresh samples, the log-probability summed over tokens (RFT)",
)
def filter_only_unbiased(s: Setting) -> list[Equation]:
    left = sum((first_accepted(s, z) * s.score(z) for z in s.kept), start=s.zero())
    return [s.equation(left, log_likelihood_gradient(s))]
