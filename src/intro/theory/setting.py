"""The objects of the paper's section 2 over finitely many rationales, with every token probability a free symbol.

A `Setting` is a policy with a separate softmax at every prefix, a grader, and a second softmax per prefix for
pi(. | x (+) y). Gradients are by the logits theta of the policy. Whatever network produces the logits, its
gradient is a linear image of this one (chain rule), so an identity between gradients that is proved here holds for
any differentiable policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, Literal

import sympy as sp
from sympy import exp, log

from intro.theory.decide import Equation, Gauge

Rationale = tuple[int, ...]
Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Softmax:
    """One softmax per prefix, by its probabilities: positive symbols that sum to one at every prefix."""

    letter: str
    prefixes: tuple[Prefix, ...]
    vocabulary: int

    def probability(self, v: int, s: Prefix) -> sp.Symbol:
        return sp.Symbol(f"{self.letter}({v}|{_name(s)})", positive=True)

    def at(self, s: Prefix) -> list[sp.Symbol]:
        return [self.probability(v, s) for v in range(self.vocabulary)]

    @cached_property
    def symbols(self) -> list[sp.Symbol]:
        return [p for s in self.prefixes for p in self.at(s)]

    @cached_property
    def gauge(self) -> Gauge:
        """The constraint: the last probability of each prefix is one minus the others."""
        return {self.at(s)[-1]: 1 - sp.Add(*self.at(s)[:-1]) for s in self.prefixes}

    def grad(self, expression: sp.Expr) -> list[sp.Expr]:
        """Derivatives by the logits: d/dtheta_v = p_v (d/dp_v - sum_u p_u d/dp_u), the softmax rule."""
        components = []
        for s in self.prefixes:
            slopes = [p * expression.diff(p) for p in self.at(s)]
            total = sp.Add(*slopes)
            components += [slope - p * total for p, slope in zip(self.at(s), slopes, strict=True)]
        return components


class Logits(Softmax):
    """The same, differentiated through the exponentials themselves: p_v = exp(theta_v) / sum_u exp(theta_u)."""

    def grad(self, expression: sp.Expr) -> list[sp.Expr]:
        theta = {p: sp.Symbol(f"theta_{p}", real=True) for p in self.symbols}
        normaliser = {s: sp.Add(*(exp(theta[p]) for p in self.at(s))) for s in self.prefixes}
        softmax = {p: exp(theta[p]) / normaliser[s] for s in self.prefixes for p in self.at(s)}
        back = {theta[p]: log(p) for p in self.symbols}  # a shift of the logits that makes the normaliser 1
        ones = {sp.Add(*self.at(s)): sp.Integer(1) for s in self.prefixes}
        pulled = expression.xreplace(softmax)
        return [pulled.diff(theta[p]).xreplace(back).xreplace(ones) for p in self.symbols]


def _name(s: Prefix) -> str:
    return "".join(map(str, s))


@dataclass(frozen=True)
class Setting:
    """Rationales of at most `length` tokens; with an `end` token they stop there, and one without it is truncated.

    `correct` says for which rationales f(z) = y. `answer` chooses p(y|z): that indicator ("graded"), a free
    constant per rationale ("constant"), or a softmax with separate trained logits ("trained").
    """

    name: str
    vocabulary: int
    length: int
    correct: Callable[[Rationale], bool]
    end: int | None = None
    answer: Literal["graded", "constant", "trained"] = "graded"
    softmax: type[Softmax] = Softmax
    label: str = ""  # part of the symbols' names, where two prompts are compared

    # ------------------------------------------------------------ rationales

    @cached_property
    def prefixes(self) -> tuple[Prefix, ...]:
        go_on = [v for v in range(self.vocabulary) if v != self.end]
        return tuple(s for t in range(self.length) for s in product(go_on, repeat=t))

    @cached_property
    def rationales(self) -> tuple[Rationale, ...]:
        steps = ((*s, v) for s in self.prefixes for v in range(self.vocabulary))
        return tuple(z for z in steps if len(z) == self.length or z[-1] == self.end)

    @cached_property
    def kept(self) -> tuple[Rationale, ...]:
        """Rationales with p(y|z) > 0."""
        return tuple(z for z in self.rationales if self.likelihood(z) != 0)

    @cached_property
    def live(self) -> tuple[Prefix, ...]:
        """Prefixes of kept rationales."""
        return tuple(s for s in self.prefixes if any(z[: len(s)] == s for z in self.kept))

    @staticmethod
    def steps(z: Rationale) -> Iterator[tuple[int, Prefix]]:
        """(z_t, z_<t) for t = 1..|z|."""
        return ((z[t], z[:t]) for t in range(len(z)))

    # ------------------------------------------------------------ distributions

    @cached_property
    def policy(self) -> Softmax:
        return self.softmax("pi" + self.label, self.prefixes, self.vocabulary)

    @cached_property
    def estimated(self) -> Softmax:
        return Softmax("q" + self.label, self.prefixes, self.vocabulary)

    @cached_property
    def answers(self) -> Softmax:
        return self.softmax("a" + self.label, self.rationales, 2)

    def token(self, v: int, s: Prefix) -> sp.Expr:
        """pi(v | x, s)."""
        return self.policy.probability(v, s)

    def estimate(self, v: int, s: Prefix) -> sp.Expr:
        """pi(v | x (+) y, s), any distribution over the next token; never differentiated."""
        return self.estimated.probability(v, s)

    def prob(self, z: Rationale) -> sp.Expr:
        """pi(z|x)."""
        return sp.Mul(*(self.token(v, s) for v, s in self.steps(z)))

    def log_prob(self, z: Rationale) -> sp.Expr:
        return sp.Add(*(log(self.token(v, s)) for v, s in self.steps(z)))

    def likelihood(self, z: Rationale) -> sp.Expr:
        """p(y|z)."""
        if self.answer == "constant":
            return sp.Symbol(f"a{self.label}_{_name(z)}", positive=True)
        if self.answer == "trained":
            return self.answers.probability(0, z)
        ended = self.end is None or z[-1] == self.end
        return sp.Integer(ended and self.correct(z))

    def marginal(self) -> sp.Expr:
        """pi(y|x), the sum of Eq. 2."""
        return self.mass(())

    def mass(self, s: Prefix) -> sp.Expr:
        """pi(y, s | x): the part of the marginal that passes through the prefix s."""
        return sp.Add(*(self.likelihood(z) * self.prob(z) for z in self.rationales if z[: len(s)] == s))

    def posterior(self, z: Rationale) -> sp.Expr:
        """pi(z | x, y) by Bayes' rule."""
        return self.likelihood(z) * self.prob(z) / self.marginal()

    def value(self, s: Prefix) -> sp.Expr:
        """pi(y | x, s): the chance that the policy, continuing from s, ends in the right answer."""
        if s in self.rationales:
            return self.likelihood(s)
        return sp.Add(*(self.token(v, s) * self.value((*s, v)) for v in range(self.vocabulary)))

    def token_posterior(self, v: int, s: Prefix) -> sp.Expr:
        """pi(v | x, y, s): the true posterior of the next token at a live prefix."""
        return self.mass((*s, v)) / self.mass(s)

    # ------------------------------------------------------------ gradients and expectations

    @cached_property
    def trained(self) -> list[Softmax]:
        return [self.policy, *([self.answers] if self.answer == "trained" else [])]

    @cached_property
    def _bars(self) -> dict[sp.Symbol, sp.Symbol]:
        return {p: sp.Symbol(f"sg {p}", positive=True) for softmax in self.trained for p in softmax.symbols}

    def detach(self, expression: sp.Expr) -> sp.Expr:
        """Stop-gradient: the same value, which `grad` treats as a constant."""
        return expression.xreplace(self._bars)

    def grad(self, expression: sp.Expr) -> sp.Matrix:
        """Gradient by all logits of the policy (and of p(y|z), where those are trained)."""
        back = {bar: p for p, bar in self._bars.items()}
        return sp.Matrix([g.xreplace(back) for softmax in self.trained for g in softmax.grad(expression)])

    def score(self, z: Rationale) -> sp.Matrix:
        """grad log pi(z|x)."""
        return _cached_grad(self, self.log_prob(z))

    def token_score(self, v: int, s: Prefix) -> sp.Matrix:
        """grad log pi(v | x, s)."""
        return _cached_grad(self, log(self.token(v, s)))

    def expect(self, weight: Callable[[Rationale], sp.Expr], value: Callable[[Rationale], Any]) -> Any:
        """Sum over rationales of weight(z) value(z)."""
        terms = [weight(z) * value(z) for z in self.rationales if weight(z) != 0]
        return sum(terms, start=0 * value(self.rationales[0]))

    def next_token(self, s: Prefix, weight: Callable[[int, Prefix], sp.Expr]) -> sp.Matrix:
        """Sum over tokens v of weight(v, s) grad log pi(v | x, s)."""
        return sum((weight(v, s) * self.token_score(v, s) for v in range(self.vocabulary)), start=self.zero())

    @staticmethod
    def kl(q: list[sp.Expr], p: list[sp.Expr]) -> sp.Expr:
        """KL(q || p) over the support of q."""
        return sp.Add(*(a * log(a / b) for a, b in zip(q, p, strict=True) if a != 0))

    def correction(self, v: int, s: Prefix, posterior: Callable[[int, Prefix], sp.Expr]) -> sp.Expr:
        """w of Eq. 7, unclipped: posterior over policy."""
        return posterior(v, s) / self.token(v, s)

    def own_weight(self, v: int, s: Prefix, posterior: Callable[[int, Prefix], sp.Expr]) -> sp.Expr:
        """Weight of the rationale's own token in the consistent form; Eq. 7 itself takes `correction`."""
        return sp.Integer(1)

    # ------------------------------------------------------------ equations

    @cached_property
    def gauge(self) -> Gauge:
        return dict(pair for softmax in (self.estimated, *self.trained) for pair in softmax.gauge.items())

    def equation(self, left: Any, right: Any, gap: Any = None, **at: sp.Rational) -> Equation:
        """left = right; keyword arguments give the witness's value of named positive parameters."""
        points = {sp.Symbol(name, positive=True): sp.Rational(value) for name, value in at.items()}
        return Equation(left, right, self.gauge, gap, points)

    def zero(self) -> sp.Matrix:
        return sp.zeros(len(self._bars), 1)


@lru_cache(maxsize=4096)
def _cached_grad(setting: Setting, expression: sp.Expr) -> sp.Matrix:
    return sp.ImmutableMatrix(setting.grad(expression))


# Correct answers are spread unevenly: some prefixes lead to none, some to several.
ONE_SOFTMAX = Setting("softmax over 4 rationales", 4, 1, lambda z: z[0] in (0, 2), softmax=Logits)
FIXED_LENGTH = Setting("3 symbols, 3 tokens", 3, 3, lambda z: (z[0] + z[1] * z[2]) % 3 == 0)
END_TOKEN = Setting("3 symbols with an end token, up to 3 tokens", 3, 3, lambda z: z.count(1) == 1, end=2)
SETTINGS = (ONE_SOFTMAX, FIXED_LENGTH, END_TOKEN)
