from __future__ import annotations

import pytest
from worlds import make_world

from intro.tasks.families import FAMILIES
from intro.tasks.world import World
from intro.types import Problem


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def tests_of(world: World) -> dict[str, list[Problem]]:
    """The test problems of every benchmark."""
    return {name: world.problems(name) for name in FAMILIES}
