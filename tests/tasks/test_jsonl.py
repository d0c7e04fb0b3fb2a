"""JSON Lines: written records are read back, and a damaged line raises an error that names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intro.tasks import jsonl
from intro.types import IntroError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3).map(lambda d: d | {"id": 1}), max_size=9)
REMEDY = "make it again"


@pytest.fixture(autouse=True)
def _few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "CHUNK", 40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS)
def test_reads_what_was_written(tmp_path: Path, records: list[dict]) -> None:
    """Any values, and any number of lines per chunk."""
    file = tmp_path / "a.jsonl"
    jsonl.write_jsonl(file, records)
    assert jsonl.read_jsonl(file, ("id",), REMEDY) == records


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS.filter(bool), st.data())
def test_a_cut_line_is_named(tmp_path: Path, records: list[dict], data: st.DataObject) -> None:
    """The line may be cut anywhere and stand anywhere; later lines do not matter."""
    lines = [json.dumps(record) for record in records]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at]) - 1))]
    (file := tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(IntroError, match=f"line {at + 1} is not JSON.*{REMEDY}"):
        jsonl.read_jsonl(file, ("id",), REMEDY)


@pytest.mark.parametrize("lines, found", [
    (['{"id": 1}, {"id": 2}', ""], "line 1 is not JSON"),
    (['{"id": 1', '"x": 2}, {"id": 3}'], "line 1 is not JSON"),
    (['{"id": 1}', "[]"], "line 2 lacks id"),
    (['{"id": 1}', '{"x": 2}'], "line 2 lacks id"),
    (['{"id": 1}'] * 4 + ["7"], "line 5 lacks id"),
])  # fmt: skip
def test_lines_that_only_together_are_records_are_damaged(tmp_path: Path, lines: list[str], found: str) -> None:
    (file := tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(IntroError, match=found):
        jsonl.read_jsonl(file, ("id",), REMEDY)


def test_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(IntroError, match=f"no such file; {REMEDY}"):
        jsonl.read_jsonl(tmp_path / "a.jsonl", ("id",), REMEDY)
