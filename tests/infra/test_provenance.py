"""Records say where a result came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intro.infra import provenance
from intro.infra.digests import digest
from intro.infra.provenance import Provenance


def test_record_says_where_a_result_came_from() -> None:
    record = Provenance().record(settings={"a": 1}, seed=3, inputs={"base": Path("m")}, steps=7)
    assert {"command", "commit", "hardware", "started"} <= set(record)
    assert record["config_hash"] == digest({"a": 1}) and record["seed"] == 3 and record["steps"] == 7
    assert record["inputs"] == {"base": "m"} and record["wall_seconds"] >= 0
    import torch

    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    json.dumps(record)


def test_code_without_git_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == "unknown (not a git checkout)"
