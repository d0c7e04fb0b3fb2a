"""The lock: later fetches must give the rows of the first one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from intro.tasks.published.lock import Entry, hold, read_lock, rows_hash
from intro.types import IntroError

ENTRY = Entry("someone/set", ("default",), "test", "a" * 40, 2, "1" * 64, "Hub")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
rows = st.lists(st.dictionaries(st.text(max_size=5), values, min_size=1, max_size=4), min_size=1, max_size=4)


def turned(value: Any) -> Any:
    """The same value with the keys of every mapping in the other order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(v) for v in value] if isinstance(value, list) else value


@given(rows)
def test_order_of_keys_does_not_matter(published: list[dict[str, Any]]) -> None:
    """Parquet and JSON order columns differently."""
    assert rows_hash(turned(published)) == rows_hash(published)


@given(rows, values, st.data())
def test_any_changed_value_matters(published: list[dict[str, Any]], value: Any, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(published) - 1))
    key = data.draw(st.sampled_from(sorted(published[row])))
    assume(json.dumps(published[row][key], sort_keys=True) != json.dumps(value, sort_keys=True))
    changed = [{**r, key: value} if i == row else r for i, r in enumerate(published)]
    assert rows_hash(changed) != rows_hash(published)


@given(rows)
def test_order_and_number_of_rows_matter(published: list[dict[str, Any]]) -> None:
    other = [{"another": "row"}]
    assume(published != other)
    assert rows_hash([*published, *other]) != rows_hash(published)
    assert rows_hash(published + other) != rows_hash(other + published) or published == other * len(published)


def test_hash_is_that_of_the_canonical_lines() -> None:
    """The hash that docs/data.md describes, so that others can compute it."""
    import hashlib

    text = '{"a": 1, "b": "é"}\n{"c": null}'
    assert rows_hash([{"b": "é", "a": 1}, {"c": None}]) == hashlib.sha256(text.encode()).hexdigest()


def test_the_first_fetch_writes_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "config" / "a.lock.json"
    assert read_lock(lock) == {}
    assert hold(lock, "b", ENTRY, "Hub") == ENTRY
    hold(lock, "a", replace(ENTRY, sha256="2" * 64), "Hub")
    assert list(json.loads(lock.read_text())) == ["a", "b"]
    assert read_lock(lock)["b"] == ENTRY
    assert [p.name for p in lock.parent.iterdir()] == ["a.lock.json"]


def test_the_same_rows_from_elsewhere_change_nothing(tmp_path: Path) -> None:
    """A mirror with the same rows is accepted and does not overwrite the commit."""
    lock = tmp_path / "lock.json"
    hold(lock, "a", ENTRY, "Hub")
    before = lock.read_bytes()
    assert hold(lock, "a", replace(ENTRY, revision=None, origin="mirror"), "m/a.jsonl") == ENTRY
    assert lock.read_bytes() == before


def test_different_rows_raise(tmp_path: Path) -> None:
    """The message has both hashes, both origins and the remedy; the lock does not change."""
    lock = tmp_path / "lock.json"
    hold(lock, "a", ENTRY, "Hub")
    before = lock.read_bytes()
    with pytest.raises(IntroError) as raised:
        hold(lock, "a", replace(ENTRY, sha256="2" * 64, rows=3), "mirror/a.jsonl")
    for part in ("a: ", "1" * 64, "2" * 64, "Hub: someone/set", "mirror/a.jsonl", "delete the entry 'a'", str(lock)):
        assert part in str(raised.value)
    assert lock.read_bytes() == before


def test_concurrent_writers_keep_all_entries(tmp_path: Path) -> None:
    lock = tmp_path / "lock.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: hold(lock, f"set{i}", ENTRY, "Hub"), range(16)))
    assert len(read_lock(lock)) == 16


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": {"rows": 2}}', json.dumps({"a": {**asdict(ENTRY), "more": 1}})]
)
def test_a_damaged_lock_raises(tmp_path: Path, text: str) -> None:
    """A damaged lock must not be mistaken for an empty one: everything would be trusted again."""
    lock = tmp_path / "lock.json"
    lock.write_text(text)
    with pytest.raises(IntroError, match="restore the file, or delete it"):
        hold(lock, "a", ENTRY, "Hub")
    assert lock.read_text() == text
