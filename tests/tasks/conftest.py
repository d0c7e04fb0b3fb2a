from __future__ import annotations

import pytest

from intro.tasks.tiny_world.families import FAMILIES
from intro.tasks.tiny_world.world import World
from intro.types import Problem
from worlds import make_world


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def tests_of(world: World) -> dict[str, list[Problem]]:
    """The test problems of every benchmark."""
    return {name: world.problems(name) for name in FAMILIES}
