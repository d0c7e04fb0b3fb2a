"""A file that exists is complete, and a write that fails leaves the old one."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intro.infra import files
from intro.infra.files import atomic_file, atomic_folder, to_csv, write_json, write_text
from intro.types import IntroError


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_failed_file_leaves_nothing_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.csv"
    for before in (None, "old"):
        if before:
            write_text(path, before)
        with pytest.raises(RuntimeError), atomic_file(path) as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".csv" and (path.read_text() if path.exists() else None) == before
            raise RuntimeError
        assert names(path.parent) == (["a.csv"] if before else [])
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new" and names(path.parent) == ["a.csv"]


def test_failed_folder_leaves_nothing_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "final"
    for before in (None, "old"):
        if before:
            with atomic_folder(path) as temporary:
                (temporary / "gone").write_text("x")
            with atomic_folder(path) as temporary:
                (temporary / "w").write_text(before)
        with pytest.raises(RuntimeError), atomic_folder(path) as temporary:
            (temporary / "w").write_text("half")
            raise RuntimeError
        assert names(tmp_path) == (["final"] if before else [])
    assert names(path) == ["w"] and (path / "w").read_text() == "old"
    assert os.access(path, os.R_OK | os.X_OK) and path.stat().st_mode & 0o055 == 0o055  # others may read it


def test_interrupted_process_leaves_the_old_file(tmp_path: Path) -> None:
    """Killed in the middle of writing, the file is as before."""
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    code = (
        "import os, sys, pathlib; from intro.infra.files import atomic_file\n"
        "with atomic_file(pathlib.Path(sys.argv[1])) as t: t.write_text('half'); os._exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 1
    assert json.loads(path.read_text()) == {"a": 1}


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IntroError, match="cannot make this results folder") as error:
        write_text(tmp_path / "file" / "results" / "a.csv", "x")
    assert str(tmp_path / "file" / "results") in str(error.value)


def test_folder_without_permission_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(IntroError, match="the results folder is not writable"):
        write_text(tmp_path / "a.csv", "x")


cells = st.one_of(
    st.none(), st.integers(-(10**6), 10**6), st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))
)


@given(st.lists(st.tuples(cells, st.floats(-1e6, 1e6))))
def test_csv_round_trip(rows: list[tuple]) -> None:
    """Text comes back as it was, a missing value as an empty field, a float to seven digits."""
    text = to_csv(["a", "b"], ({"a": a, "b": b} for a, b in rows))
    read = list(csv.DictReader(io.StringIO(text)))
    assert len(read) == len(rows)
    for (a, b), row in zip(rows, read, strict=True):
        assert row["a"] == ("" if a is None else str(a))
        assert float(row["b"]) == pytest.approx(b, rel=1e-6)


def test_csv_leaves_out_nothing_silently() -> None:
    """A missing column is empty, an unknown one an error."""
    assert to_csv(["a", "b"], [{"a": 0.1234567891}]) == "a,b\n0.1234568,\n"
    with pytest.raises(ValueError, match="c"):
        to_csv(["a"], [{"a": 1, "c": 2}])
