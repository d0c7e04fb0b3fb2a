"""Publishing replaces exactly one folder below `reference`, and only by a complete copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from intro import config as configuration
from intro.analysis.report import publish as publishing
from intro.analysis.report.publish import publish
from intro.config import Config
from intro.types import IntroError
from toy import mapping


def contents(root: Path) -> dict[str, str]:
    """Every file and folder below `root`; a folder's text is empty."""
    return {str(p.relative_to(root)): p.read_text() if p.is_file() else "" for p in sorted(root.rglob("*"))}


@pytest.fixture
def finished(tmp_path: Path) -> Config:
    """A finished toy run beside two published ones, `toy` and `other`."""
    config = configuration.parse(mapping(tmp_path) | {"reference": "toy"})
    files = {
        "results/toy/claims.csv": "new",
        "results/toy/tables/main.csv": "new",
        "results/toy/run.json": json.dumps({"commits": ["abc"]}),
        "results/toy/generations.jsonl": "not published",
        "figures/toy/main.png": "new",
        "results/reference/toy/claims.csv": "old",
        "results/reference/toy/gone.csv": "old",
        "results/reference/other/claims.csv": "other",
        "figures/reference/toy/main.png": "old",
        "figures/reference/other/main.png": "other",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return config


def test_one_folder_of_each_kind_is_replaced(finished: Config, tmp_path: Path) -> None:
    before = contents(tmp_path)
    written = publish(finished)
    new = {
        "results/reference/toy/claims.csv": "new",
        "results/reference/toy/config.yaml": yaml.safe_dump(finished.model_dump(mode="json"), sort_keys=False),
        "results/reference/toy/run.json": json.dumps({"commits": ["abc"]}),
        "results/reference/toy/tables": "",
        "results/reference/toy/tables/main.csv": "new",
        "figures/reference/toy/main.png": "new",
    }
    assert {str(p.relative_to(tmp_path)) for p in written} == {name for name, text in new.items() if text}
    del before["results/reference/toy/gone.csv"]
    assert contents(tmp_path) == before | new


@pytest.mark.parametrize("name", ["..", ".", "../..", "../toy", "toy/tables", "/", "a/../.."])
def test_a_folder_elsewhere_is_refused(name: str, finished: Config, tmp_path: Path) -> None:
    """The config refuses such a name; publishing checks the folder itself, since it replaces it as a whole."""
    before = contents(tmp_path)
    with pytest.raises(IntroError, match=r"^mine: reference: String should match pattern"):
        configuration.parse(mapping(tmp_path) | {"reference": name}, "mine")
    with pytest.raises(IntroError, match="reference: expected the name of a folder directly in"):
        publish(finished.model_copy(update={"reference": name}))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("root", ["results", "figures"])
def test_a_link_to_a_folder_elsewhere_is_refused(root: str, finished: Config, tmp_path: Path) -> None:
    (tmp_path / root / "reference" / "link").symlink_to(tmp_path / root)
    before = contents(tmp_path)
    with pytest.raises(IntroError, match="reference: expected the name of a folder directly in"):
        publish(finished.model_copy(update={"reference": "link"}))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("large", ["results/toy/tables/main.csv", "figures/toy/main.png"])
def test_both_old_folders_stay_until_both_new_ones_are_complete(
    large: str, finished: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure that cannot be published must not leave new tables beside old figures."""
    monkeypatch.setattr(publishing, "LARGEST", 100)
    (tmp_path / large).write_text("x" * 101)
    before = contents(tmp_path)
    with pytest.raises(IntroError, match="101 bytes are too many to commit"):
        publish(finished)
    assert contents(tmp_path) == before


def test_an_incomplete_run_is_refused(finished: Config, tmp_path: Path) -> None:
    (tmp_path / "results/toy/tables/main.csv").unlink()
    before = contents(tmp_path)
    with pytest.raises(IntroError, match="no such file; finish the run with snakemake first"):
        publish(finished)
    assert contents(tmp_path) == before
