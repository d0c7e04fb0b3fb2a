"""Named random streams: a generator depends on its name alone, never on what was drawn before."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_of(*parts: object) -> int:
    """A 63-bit seed from anything printable; different uses of randomness get different names."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_for(*parts: object) -> torch.Generator:
    """A generator that depends on its name alone, never on what was drawn before."""
    import torch

    return torch.Generator().manual_seed(seed_of(*parts))
