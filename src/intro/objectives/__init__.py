"""One short file per method behind one protocol. `intro.py` is the paper."""

from __future__ import annotations

from typing import Any

from intro.objectives.base import Objective, Posterior, forward_passes, rationale_weights
from intro.objectives.gpg import Gpg
from intro.objectives.grpo import Grpo
from intro.objectives.intro import Intro
from intro.objectives.latro import Latro
from intro.objectives.raft import RaftPlusPlus
from intro.objectives.sft import Sft

OBJECTIVES: dict[str, type] = {
    "sft": Sft,
    "latro": Latro,
    "raft++": RaftPlusPlus,
    "gpg": Gpg,
    "grpo": Grpo,
    "intro": Intro,
}


def build(name: str, **options: Any) -> Objective:
    """The objective of this name with the options of its config entry. Raises KeyError for an unknown name."""
    return OBJECTIVES[name](**options)


__all__ = ["OBJECTIVES", "Objective", "Posterior", "build", "forward_passes", "rationale_weights"]
