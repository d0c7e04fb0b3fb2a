"""All statements in reading order, decided on demand."""

from __future__ import annotations

from intro.theory import aggregation, departures, equation_7, sequence
from intro.theory.registry import REGISTRY, Identity, Statement, check

CHAPTERS = (sequence, equation_7, departures, aggregation)


def statements() -> list[Statement]:
    """Proposition 2.1 first, then chapter by chapter."""
    modules = [chapter.__name__ for chapter in CHAPTERS]
    return sorted(REGISTRY.values(), key=lambda s: modules.index(s.equations.__module__))


def identities() -> list[Identity]:
    """Decide every statement exactly; takes about twenty seconds."""
    return [check(statement) for statement in statements()]
