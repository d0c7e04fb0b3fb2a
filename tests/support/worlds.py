"""A small world for tests."""

from __future__ import annotations

from typing import Any

from intro.tasks.tiny_world.families import FAMILIES
from intro.tasks.tiny_world.source import TinyWorldSource

PROMPTS = {"question": "{question} :", "posterior": "{question} given {answer} :"}


def make_world(seed: int = 0, **changes: Any) -> TinyWorldSource:
    """A world of small splits; `changes` replaces fields."""
    settings: dict[str, Any] = {
        "seed": seed,
        "benchmarks": {name: 40 for name in FAMILIES},
        "train_problems": 120,
        "validation_problems": 60,
        "prompts": PROMPTS,
    }
    return TinyWorldSource(**{**settings, **changes})
