from __future__ import annotations

import pytest

from intro.tasks.tiny_world.families import FAMILIES
from intro.tasks.tiny_world.source import TinyWorldSource
from intro.types import Problem
from worlds import make_world


@pytest.fixture(scope="session")
def world() -> TinyWorldSource:
    return make_world()


@pytest.fixture(scope="session")
def tests_of(world: TinyWorldSource) -> dict[str, list[Problem]]:
    """The test problems of every benchmark."""
    return {name: world.problems(name) for name in FAMILIES}
