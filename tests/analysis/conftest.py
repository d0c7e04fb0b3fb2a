"""Whole synthetic runs that several tests share; tests that change one make their own."""

from __future__ import annotations

import pytest

import whole_run


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """One training run per cell."""
    return whole_run.write(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def three_seeds(tmp_path_factory):
    """Three training runs per cell."""
    return whole_run.write(tmp_path_factory.mktemp("seeds"), seeds=(0, 1, 2))
