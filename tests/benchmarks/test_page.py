"""docs/performance.md says what the CSVs say, and the printed tables fit a terminal."""

from __future__ import annotations

import csv
from pathlib import Path

import common
import page
from intro.cost.measure.timing import machine


def test_page_is_in_sync_with_the_csvs() -> None:
    """Run `python benchmarks/page.py` when this fails."""
    text = page.PAGE.read_text()
    assert page.filled(text) == text


def test_every_csv_has_a_place_on_the_page() -> None:
    """A result that is committed is shown."""
    marks = {found["name"] for found in page.BLOCK.finditer(page.PAGE.read_text())}
    assert {file.stem for file in page.HERE.glob("*.csv")} <= marks


def test_block_shows_what_differs_and_says_the_rest_below(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("step,seconds,peak_bytes,kept,torch,gpu\nx,0.123456,1048576,,2.13,\ny,1.5,2048,0.5,2.13,\n")
    assert page.block(file) == (
        "| step | seconds | peak bytes | kept |\n"
        "| --- | --: | --: | --: |\n"
        "| x | 0.123 | 1,048,576 | – |\n"
        "| y | 1.5 | 2,048 | 0.5 |\n"
        "\n<sub>torch 2.13</sub>\n"
    )


def test_filling_replaces_only_what_stands_between_the_marks(tmp_path: Path) -> None:
    """Twice is once, and a missing CSV is a sentence with the command that makes it."""
    (tmp_path / "a.csv").write_text("n,s\n1,2\n2,3\n")
    text = "# A\n<!-- a:begin -->\nold\n<!-- a:end -->\nbetween\n<!-- b:begin -->\n<!-- b:end -->\n"
    once = page.filled(text, tmp_path)
    assert page.filled(once, tmp_path) == once
    assert "old" not in once and "| 1 | 2 |" in once and "\nbetween\n" in once
    assert "Not measured yet: `python benchmarks/b.py" in once


def test_report_prints_80_columns_and_writes_all_of_them(tmp_path: Path, capsys) -> None:
    """However many columns a result has; what the machine is stands in the CSV's every row."""
    rows = [{f"measured_{i}": (i + 1) * k / 7 for i in range(12)} | {"none": None, **machine()} for k in (1, 2)]
    common.report(rows, tmp_path / "deep" / "out.csv")
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines if "written to" not in line)
    assert sum(line.startswith("measured_0") for line in lines) > 1, "each block of columns begins with the first"
    with (tmp_path / "deep" / "out.csv").open() as opened:
        read = list(csv.DictReader(opened))
    assert [list(row) for row in read] == [list(rows[0])] * 2
    assert read[1]["measured_11"] == f"{24 / 7:.7g}" and read[0]["none"] == ""


def test_a_single_row_is_all_table_but_the_machine() -> None:
    shown, same = common.split([{"step": "a", "seconds": 1.0, **machine()}])
    assert shown == ["step", "seconds"] and same == list(machine()) == common.MACHINE
