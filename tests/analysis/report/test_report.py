"""The report is one file that holds everything and fetches nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from docutils.utils import SystemMessage

import whole_run
from intro import experiments
from intro.analysis.data.inputs import Inputs
from intro.analysis.figures.build import figure
from intro.analysis.report import build as report
from intro.analysis.tables import build as tables
from intro.sources import FIGURES

VOID = {"meta", "br", "img"}


class Balance(HTMLParser):
    """Collects tags that close out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def config(whole):
    for name in experiments.table_names(whole):
        tables.table(whole, name, Inputs(whole))
    for name in FIGURES:
        (whole.figures_dir / f"{name}.png").unlink(missing_ok=True)
    for name in ("posterior", "cost"):
        figure(whole, name, Inputs(whole))
    return whole


@pytest.fixture(scope="module")
def page(config) -> str:
    return report.report(config).read_text()


def test_nothing_is_fetched(page):
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "http" not in page and "@import" not in page and "url(" not in page


def test_tags_are_balanced(page):
    balance = Balance()
    balance.feed(page)
    assert not balance.wrong and not balance.open


def test_claims_come_first_with_every_verdict(page):
    heads = re.findall(r'<h2 id="(\w+)"', page)
    assert heads == ["claims", "compare", "tables", "figures", "theory", "audit", "provenance"]
    for statement, *_, verdict in whole_run.CLAIMS:
        assert statement in page and verdict in page
    assert "3 reproduced" in page


def test_comparison_shows_three_columns(page):
    assert page.index("Reported</th>") < page.index("Reference</th>") < page.index("This run</th>")


def test_tables_figures_and_captions_are_inside(page, config):
    for name in experiments.table_names(config):
        assert f'id="table-{name}"' in page
    assert page.count("data:image/png;base64,") == 2
    assert "<strong>Table 1.</strong>" in page


def test_audit_separates_findings(page):
    assert "2 checks; 1 found" in page
    assert "an invented finding" in page


def test_provenance_is_readable(page):
    assert "wall time 1 h 45 min" in page and "torch 2.13.0" in page and "0123abc" in page


def test_an_empty_run_makes_a_page(tmp_path):
    empty = whole_run.config(tmp_path)
    text = report.report(empty).read_text()
    assert "No claims have been judged." in text and "No record of this run" in text


def test_text_from_files_is_escaped(config):
    path = config.results_dir / "claims.csv"
    kept = path.read_text()
    frame = pd.read_csv(path)
    frame["statement"] = "a < b & <script>"
    frame.to_csv(path, index=False)
    assert "<script>" not in report.report(config).read_text()
    path.write_text(kept)


def test_every_table_and_figure_has_a_caption(config):
    for name in [*experiments.table_names(config), *FIGURES, "workflow"]:
        text = (report.CAPTIONS / f"{name}.rst").read_text()
        assert text.strip() and max(map(len, text.splitlines())) <= 120


def test_captions_are_restructured_text(tmp_path):
    """As Snakemake's report reads them; a caption that is not valid stops the report instead of showing an error."""
    path = tmp_path / "c.rst"
    path.write_text("**A.** one\ntwo ``x < y``\n\n*next*\n")
    shown = report.caption(path).replace("\n", " ")
    assert "<p><strong>A.</strong> one two <span" in shown and "x &lt; y</span></p>" in shown
    assert "<p><em>next</em></p>" in shown
    path.write_text("**A.** one ``x\n")
    with pytest.raises(SystemMessage):
        report.caption(path)
    assert report.caption(tmp_path / "none.rst") == ""
