"""One short file per method. `intro.py` is the paper; `base.py` says what a method is.

Files of this folder need no registration: configs name a class by the value of its `objective: Literal["name"]`.
Reading a config imports these files, so they import torch inside functions only.
"""

from __future__ import annotations

from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any, get_args

from intro.objectives.base import Objective, Posterior, rationale_weights


def _found() -> dict[str, type[Objective]]:
    """Name -> class, over all files of this folder in alphabetical order."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    classes = [c for m in modules for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__]
    methods = [c for c in classes if issubclass(c, Objective) and not isabstract(c)]
    return {name: c for c in methods for name in get_args(c.model_fields["objective"].annotation)}


OBJECTIVES = _found()


def build(name: str, **options: Any) -> Objective:
    """A method outside a config, with its defaults but for `options`. Raises KeyError for an unknown name."""
    return OBJECTIVES[name](objective=name, label=name, **options)


__all__ = ["OBJECTIVES", "Objective", "Posterior", "build", "rationale_weights"]
