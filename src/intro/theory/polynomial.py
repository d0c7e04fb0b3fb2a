"""Numerators of large rational functions, without ever taking a greatest common divisor.

Each denominator d adds a generator for 1/d; the polynomial is then multiplied by d until that generator is gone.
Shared subexpressions are converted once. General-purpose simplification takes minutes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import prod

import sympy as sp
from sympy.polys.rings import PolyElement


def numerator(expression: sp.Expr, substitution: Mapping[sp.Symbol, sp.Expr]) -> PolyElement:
    """A polynomial that is zero exactly when the expression is, after the substitution of its symbols.

    Logarithms and absolute values count as independent generators. Denominators must not vanish identically.
    """
    expression = expression.xreplace(substitution)
    atoms, domain = _generators(expression)
    ring, *generators = sp.ring([f"x{i}" for i in range(max(len(atoms), 1))], domain)

    @cache
    def convert(node: sp.Expr) -> PolyElement:
        if node.is_Rational:
            return ring(domain.from_sympy(node))
        if node.is_Add:
            return sum(map(convert, node.args), start=ring.zero)
        if node.is_Mul:
            return prod(map(convert, node.args), start=ring.one)
        if _is_power(node):
            return (generators[atoms[1 / node.base]] if node.exp < 0 else convert(node.base)) ** abs(int(node.exp))
        return generators[atoms[node]]

    polynomial = convert(expression)
    for atom, index in reversed(atoms.items()):
        if _is_power(atom):
            polynomial = _clear(polynomial, index, convert(atom.base))
    return polynomial


def _is_power(node: sp.Expr) -> bool:
    return node.is_Pow and node.exp.is_Integer


def _generators(expression: sp.Expr) -> tuple[dict[sp.Expr, int], sp.Domain]:
    """Symbols, logarithms, absolute values and inverses, numbered with inner inverses before outer ones; the domain."""
    atoms: dict[sp.Expr, int] = {}
    seen: set[sp.Expr] = set()

    def collect(node: sp.Expr) -> None:
        if node in seen:
            return
        seen.add(node)
        if node.is_Add or node.is_Mul or _is_power(node):
            for part in node.args:
                collect(part)
        if _is_power(node) and node.exp < 0:
            atoms.setdefault(1 / node.base, len(atoms))
        elif not (node.is_Rational or node.is_Add or node.is_Mul or _is_power(node)):
            atoms[node] = len(atoms)

    collect(expression)
    return atoms, sp.ZZ if all(node.is_Integer for node in seen if node.is_Rational) else sp.QQ


def _clear(polynomial: PolyElement, index: int, denominator: PolyElement) -> PolyElement:
    """Replace sum_k c_k / d^k by sum_k c_k d^(K-k), where 1/d is the generator `index`."""
    parts: dict[int, PolyElement] = {}
    for monomial, coefficient in polynomial.terms():
        rest = (*monomial[:index], 0, *monomial[index + 1 :])
        parts.setdefault(monomial[index], polynomial.ring.zero)[rest] = coefficient
    highest = max(parts, default=0)
    cleared = (part * denominator ** (highest - power) for power, part in parts.items())
    return sum(cleared, start=polynomial.ring.zero)
