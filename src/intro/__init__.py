"""InTRO: a reproduction of In-Token Rationality Optimization (arXiv 2511.09865)."""

__version__ = "0.1.0"
