"""What all tests share: one thread, and the toy world on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None)  # a first example warms torch up, and workers share the cores
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors gain nothing from threads, and sums are then the same on every machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world's files, which nothing may change."""
    import toy

    root = tmp_path_factory.mktemp("toy")
    toy.write_world(root)
    return root


@pytest.fixture
def toy_config(toy_root: Path, tmp_path: Path):
    """The config of a copy of the toy world, free to change."""
    import toy
    from intro.config import parse

    shutil.copytree(toy_root, tmp_path, dirs_exist_ok=True)
    return parse(toy.mapping(tmp_path))
