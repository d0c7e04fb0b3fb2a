"""Numerators of large rational functions, without ever taking a greatest common divisor.

Each denominator d adds a generator for 1/d; the polynomial is then multiplied by d until that generator is gone.
Shared subexpressions are converted once. General-purpose simplification takes minutes here.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp
from sympy.polys.rings import PolyElement


def numerator(expression: sp.Expr, substitution: Mapping[sp.Symbol, sp.Expr]) -> PolyElement:
    """A polynomial that is zero exactly when the expression is, after the substitution of its symbols.

    Logarithms and absolute values count as independent generators. Denominators must not vanish identically.
    """
    conversion = _Conversion(substitution)
    conversion.collect(expression)
    return conversion.clear(conversion.convert(expression))


class _Conversion:
    def __init__(self, substitution: Mapping[sp.Symbol, sp.Expr]) -> None:
        self.substitution = substitution
        self.atoms: dict[sp.Expr, int] = {}  # symbols, logarithms, absolute values and inverses -> generator
        self.denominators: dict[sp.Expr, None] = {}  # in the order of nesting, inner ones first
        self.seen: set[sp.Expr] = set()
        self.done: dict[sp.Expr, PolyElement] = {}
        self.domain = sp.ZZ

    def collect(self, node: sp.Expr) -> None:
        """Find the generators, inner denominators before outer ones."""
        if node in self.seen:
            return
        self.seen.add(node)
        if node in self.substitution:
            self.collect(self.substitution[node])
        elif node.is_Add or node.is_Mul:
            for part in node.args:
                self.collect(part)
        elif node.is_Pow and node.exp.is_Integer:
            self.collect(node.base)
            if node.exp < 0 and node.base not in self.denominators:
                self.denominators[node.base] = None
                self.atoms[1 / node.base] = len(self.atoms)
        elif node.is_Rational:
            self.domain = self.domain if node.is_Integer else sp.QQ
        else:
            self.atoms[node] = len(self.atoms)

    def convert(self, node: sp.Expr) -> PolyElement:
        if not self.done:
            self.ring = sp.ring([f"x{i}" for i in range(max(len(self.atoms), 1))], self.domain)[0]
        if node not in self.done:
            self.done[node] = self._convert(node)
        return self.done[node]

    def _convert(self, node: sp.Expr) -> PolyElement:
        if node in self.substitution:
            return self.convert(self.substitution[node])
        if node.is_Rational:
            return self.ring(self.domain.from_sympy(node))
        if node.is_Add:
            return sum((self.convert(part) for part in node.args), start=self.ring.zero)
        if node.is_Mul:
            product = self.ring.one
            for part in node.args:
                product = product * self.convert(part)
            return product
        if node.is_Pow and node.exp.is_Integer:
            power = int(node.exp)
            if power < 0:
                return self.ring.gens[self.atoms[1 / node.base]] ** -power
            return self.convert(node.base) ** power
        return self.ring.gens[self.atoms[node]]

    def clear(self, polynomial: PolyElement) -> PolyElement:
        """Replace sum_k c_k / d^k by sum_k c_k d^(K-k) for each denominator d, outer ones first."""
        for base in reversed(self.denominators):
            index = self.atoms[1 / base]
            parts: dict[int, PolyElement] = {}
            for monomial, coefficient in polynomial.terms():
                rest = (*monomial[:index], 0, *monomial[index + 1 :])
                parts.setdefault(monomial[index], self.ring.zero)[rest] = coefficient
            highest, denominator = max(parts, default=0), self.convert(base)
            polynomial = self.ring.zero
            for power, part in parts.items():
                polynomial = polynomial + part * denominator ** (highest - power)
        return polynomial
