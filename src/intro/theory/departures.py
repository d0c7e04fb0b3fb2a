"""Four departures of Eq. 7, as trained, from Proposition 2.1, each with the closed form of its gap."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from intro.theory.decide import Equation
from intro.theory.equation_7 import TRUE, along, along_prefixes, logits_at, over_candidates, sequence_weight
from intro.theory.registry import counterexample
from intro.theory.sequence import GRADED, log_likelihood_gradient
from intro.theory.setting import END_TOKEN, Prefix, Setting

TARGET = r" = \nabla \log \pi(y \mid x)"
EXPECT = r"E_{z \sim \pi(z \mid x,y)} "


@counterexample(
    "Departure 1: the estimated posterior",
    EXPECT + r"\sum_t \sum_v q(v \mid z_{<t}) \nabla \log \pi(v \mid x,z_{<t})" + TARGET,
    r"$q = \pi(\cdot \mid x \oplus y, \cdot)$ is not the true posterior; " + GRADED,
    gap=r"\pi(s \mid x,y)\, (q(v \mid s) - \pi(v \mid x,y,s)) \quad \text{at the logit of token } v \text{ after } s",
)
def estimated_posterior(s: Setting) -> list[Equation]:
    q, true, tokens = s.estimate, s.token_posterior, range(s.vocabulary)
    left = along_prefixes(s, lambda t: over_candidates(s, t, q))
    gap = along_prefixes(s, lambda t: logits_at(s, t, [q(v, t) - true(v, t) for v in tokens]))
    return [s.equation(left, log_likelihood_gradient(s), gap)]


@counterexample(
    "Departure 2: the own token's weight",
    EXPECT + r"\sum_t \Big[\frac1n w_t \nabla \log \pi(z_t \mid x,z_{<t})"
    r" + \frac{n-1}{n} E_{v \sim \pi}[w_v \nabla \log \pi(v \mid x,z_{<t})]\Big]" + TARGET,
    TRUE + r"; $z_t$ is itself a draw from $q$, which its weight then applies once more",
    gap=r"\frac1n E_{z \sim \pi(z \mid x,y)} \sum_t (w_t - 1) \nabla \log \pi(z_t \mid x,z_{<t})",
)
def own_token_weight(s: Setting) -> list[Equation]:
    n, q = sp.Symbol("n", positive=True), s.token_posterior
    own = along(s, lambda v, t: s.correction(v, t, q) * s.token_score(v, t))
    left = own / n + (n - 1) / n * along_prefixes(s, lambda t: over_candidates(s, t, q))
    gap = along(s, lambda v, t: (s.correction(v, t, q) - 1) / n * s.token_score(v, t))
    return [s.equation(left, log_likelihood_gradient(s), gap, n=5)]


@counterexample(
    "The sequence weight on filtered rationales",
    EXPECT + r"\Big[\prod_t w_t \; \nabla \log \pi(z \mid x)\Big]" + TARGET,
    TRUE + r"; Eq. 5 weighs unfiltered rationales, Algorithm 1 filters them",
    gap=r"\Big(\frac{1}{\pi(y \mid x)} - 1\Big) \nabla \log \pi(y \mid x)",
)
def sequence_weight_after_filter(s: Setting) -> list[Equation]:
    left = s.expect(lambda z: s.posterior(z) * sequence_weight(s, z, s.token_posterior) if z in s.kept else 0, s.score)
    target = log_likelihood_gradient(s)
    return [s.equation(left, target, (1 / s.marginal() - 1) * target)]


@counterexample(
    "Departure 3: the mean over tokens",
    EXPECT + r"\frac{1}{|z|} \sum_t \nabla \log \pi(z_t \mid x,z_{<t})" + TARGET,
    GRADED + r"; rationales of unequal length, so that $1/|z|$ is no common factor",
    gap=r"E_{z \sim \pi(z \mid x,y)}\Big[\Big(\frac{1}{|z|} - 1\Big) \nabla \log \pi(z \mid x)\Big]",
    settings=(END_TOKEN,),
)
def mean_over_tokens(s: Setting) -> list[Equation]:
    left = s.expect(lambda z: s.posterior(z) / len(z), s.score)
    gap = s.expect(lambda z: s.posterior(z) * (sp.Rational(1, len(z)) - 1), s.score)
    return [s.equation(left, log_likelihood_gradient(s), gap)]


@counterexample(
    "Under the mean over tokens, candidates and own token disagree",
    EXPECT + r"\frac{1}{|z|} \sum_t \nabla \log \pi(z_t \mid x,z_{<t})"
    r" = " + EXPECT + r"\frac{1}{|z|} \sum_t \sum_v \pi(v \mid x,y,z_{<t}) \nabla \log \pi(v \mid x,z_{<t})",
    TRUE + r"; a candidate is weighted by the length of a rationale that it is not part of",
    gap=r"E_{z} \frac{1}{|z|} \sum_t (1[v = z_t] - \pi(v \mid x,y,z_{<t})) \quad \text{at the logits of } z_{<t}",
    settings=(END_TOKEN,),
)
def mean_over_tokens_splits(s: Setting) -> list[Equation]:
    q = s.token_posterior

    def per_token(step: Callable[[int, Prefix], sp.Matrix]) -> sp.Matrix:
        return s.expect(lambda z: s.posterior(z) / len(z), lambda z: sum((step(*at) for at in s.steps(z)), s.zero()))

    candidates = per_token(lambda v, t: over_candidates(s, t, q))
    gap = per_token(lambda v, t: logits_at(s, t, [int(u == v) - q(u, t) for u in range(s.vocabulary)]))
    return [s.equation(per_token(s.token_score), candidates, gap)]


@counterexample(
    "Departure 4: the clip",
    EXPECT + r"\sum_t E_{v \sim \pi}[\min(w_v, c) \nabla \log \pi(v \mid x,z_{<t})]" + TARGET,
    TRUE + r"; $c = 4/3$ at the witness, where some $w_v$ exceed it",
    gap=r"-E_{z \sim \pi(z \mid x,y)} \sum_t \sum_v \max(\pi(v \mid x,y,z_{<t}) - c\, \pi(v \mid x,z_{<t}), 0)"
    r" \nabla \log \pi(v \mid x,z_{<t})",
)
def clipped_weight(s: Setting) -> list[Equation]:
    c, q = sp.Symbol("c", positive=True), s.token_posterior

    def clipped(t: Prefix) -> sp.Matrix:
        return s.next_token(t, lambda v, u: s.token(v, u) * sp.Min(s.correction(v, u, q), c))

    def above(t: Prefix) -> sp.Matrix:
        return s.next_token(t, lambda v, u: sp.Max(q(v, u) - c * s.token(v, u), 0))

    gap = -along_prefixes(s, above)
    return [s.equation(along_prefixes(s, clipped), log_likelihood_gradient(s), gap, c=sp.Rational(4, 3))]


@counterexample(
    "The control variate is not for the own token",
    EXPECT + r"\sum_t (1 - 1) \nabla \log \pi(z_t \mid x,z_{<t})" + TARGET,
    TRUE + r"; $n = 1$ with weight one, less a baseline of one",
    gap=r"-\nabla \log \pi(y \mid x)",
)
def control_variate_on_own_token(s: Setting) -> list[Equation]:
    q = s.token_posterior
    left = along(s, lambda v, t: (s.own_weight(v, t, q) - 1) * s.token_score(v, t))
    return [s.equation(left, log_likelihood_gradient(s), -log_likelihood_gradient(s))]
