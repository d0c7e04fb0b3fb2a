"""Proposition 2.1 and what follows from it, as statements that sympy proves or refutes exactly."""

from intro.theory.catalogue import identities
from intro.theory.registry import Identity
from intro.theory.report import write

__all__ = ["Identity", "identities", "write"]
