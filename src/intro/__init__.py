"""InTRO: a reproduction of In-Token Rationality Optimization (arXiv 2511.09865).

For other programs: `intro_loss` (Eq. 7) and `token_logprobs`. They import torch, so they are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intro.library import intro_loss, token_logprobs

__version__ = "0.1.0"
__all__ = ["__version__", "intro_loss", "token_logprobs"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'intro' has no attribute {name!r}")
    from intro import library

    return getattr(library, name)
