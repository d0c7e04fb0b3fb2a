"""Digests are stable and see every value."""

from __future__ import annotations

from pathlib import Path

from intro.infra.digests import digest, file_digest


def test_digest_is_stable_and_sees_every_value() -> None:
    """The order of keys does not matter, values do; the text is pinned, or scratch folders would be orphaned."""
    assert digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1}) == "2daaea6dd63221f9"
    assert len({digest(v) for v in ({"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, [1], None)}) == 6


def test_file_digest_sees_content_and_names(tmp_path: Path) -> None:
    for folder, name, text in (("x", "a", "1"), ("y", "a", "1"), ("z", "b", "1"), ("w", "a", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    x, y, z, w = (file_digest(tmp_path / f) for f in "xyzw")
    assert x == y and len({x, z, w}) == 3
    assert file_digest(tmp_path / "x" / "a") == file_digest(tmp_path / "y" / "a") != file_digest(tmp_path / "w" / "a")
