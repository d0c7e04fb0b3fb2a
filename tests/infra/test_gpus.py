"""GPUs are shared out among the commands of one machine; here are none, so their ids are only names."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from intro.infra.gpus import VISIBLE, reserve_gpus, visible_gpus, workers
from intro.types import IntroError


@pytest.fixture(autouse=True)
def four(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VISIBLE, "0,1,2,3")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))


def test_no_gpu_changes_nothing() -> None:
    """A run on the CPU neither waits nor hides devices."""
    with reserve_gpus(0) as ids:
        assert ids == [] and os.environ[VISIBLE] == "0,1,2,3"


def test_commands_get_different_gpus_and_give_them_back() -> None:
    """Two runs at a time never share a GPU; afterwards all are free and visible again."""
    with reserve_gpus(1) as first:
        os.environ[VISIBLE] = "0,1,2,3"  # what another command would see
        with reserve_gpus(3) as rest:
            assert sorted([*first, *rest]) == ["0", "1", "2", "3"]
            assert os.environ[VISIBLE] == ",".join(rest)
    os.environ[VISIBLE] = "0,1,2,3"
    with reserve_gpus(4) as again:
        assert again == visible_gpus() == ["0", "1", "2", "3"]


def test_too_few_is_one_sentence() -> None:
    """A profile that wants more GPUs than there are fails at once, with both numbers."""
    with pytest.raises(IntroError, match="wants 8 GPUs, found 4"), reserve_gpus(8):
        pass


def test_a_full_machine_is_not_waited_for_without_end() -> None:
    """Half-served commands hold nothing: after giving up, the free GPU can still be had."""
    with reserve_gpus(3):
        os.environ[VISIBLE] = "0,1,2,3"
        with pytest.raises(IntroError, match="did not come free"), reserve_gpus(2, timeout_s=0.0):
            pass
        with reserve_gpus(1) as last:
            assert last == ["3"]


def test_ranks_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight ranks of a node do not each start a worker per core."""
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64), raising=False)
    assert workers() == 16
    for ranks, each in ((8, 8), (64, 1), (200, 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        assert workers() == each


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no nvidia-smi: no GPU, not an error."""
    monkeypatch.delenv(VISIBLE)
    monkeypatch.setenv("PATH", "/nowhere")
    assert visible_gpus() == []
