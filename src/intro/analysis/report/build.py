"""results/{scale}/report.html: claims first, then comparison, tables, figures, theory, audit and provenance."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment
from markupsafe import Markup

from intro import experiments
from intro.analysis.claims.judge import ANY
from intro.analysis.data.inputs import Inputs
from intro.analysis.figures.palette import VERDICTS
from intro.analysis.report import page
from intro.analysis.tables.typeset import DASH, bracket, number
from intro.config import Config
from intro.infra.files import write_text
from intro.infra.provenance import ROOT
from intro.sources import FIGURES

CAPTIONS = ROOT / "workflow" / "report"
TITLES = {"main": "Table 1: in domain", "ood": "Table 2: out of domain", "ablation_n": "Table 3: number of candidates"}
PROTOCOLS = {"paper": "one rate for all", "tuned": "own best rates", ANY: "verdict"}  # words for table heads
PNG_SCALE = 0.6  # pixels of the page per pixel of a figure: 160 dpi files stay sharp on dense screens


def report(config: Config, captions: Path = CAPTIONS) -> Path:
    """Write the report from what there is below results/{scale} and figures/{scale}; missing parts are left out."""
    inputs = Inputs(config)
    claims = inputs.frame("claims")
    parts = {
        "claims": _claims(claims),
        "comparisons": _comparisons(inputs),
        "tables": _tables(config, captions),
        "figures": _figures(config, captions),
        "theory": _theory(inputs.record("theory/identities.json")),
        "audit": _audit(inputs.compare("audit")),
    }
    anchors = {"claims": "Claims", "comparisons": "Comparison", "tables": "Tables", "figures": "Figures"}
    anchors |= {"theory": "Theory", "audit": "Audit"}
    sections = [("compare" if k == "comparisons" else k, words) for k, words in anchors.items() if parts[k]]
    settings = {
        "scale": config.scale,
        "style": Markup(page.STYLE),
        "inks": VERDICTS,
        "tally": _tally(claims),
        "protocols": [PROTOCOLS.get(p, p) for p in _protocols(claims)],
        "stand_ins": any(name != spec.stands_for for name, spec in config.models.items()),
        "sections": [*sections, ("provenance", "Provenance")],
        "provenance": _provenance(inputs.record("run.json")),
    }
    text = Environment(autoescape=True, trim_blocks=True).from_string(page.PAGE).render(settings | parts)
    path = config.results_dir / "report.html"
    write_text(path, text)
    return path


# ---------------------------------------------------------------- claims


def _protocols(claims: pd.DataFrame) -> list[str]:
    return [p for p in claims.protocol.dropna().unique() if p != ANY] or [ANY]


def _tally(claims: pd.DataFrame) -> list[tuple[str, int]]:
    """Verdicts under the first protocol, in the order of the legend."""
    counted = claims[claims.protocol.isin([_protocols(claims)[0], ANY])].verdict.value_counts()
    return [(verdict, int(counted[verdict])) for verdict in VERDICTS if verdict in counted]


def _claims(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per claim with a cell per protocol; a claim that no training enters spans them all."""
    protocols, shown = _protocols(claims), []
    for _, rows in claims.groupby("claim", sort=False):
        own = {row.protocol: _verdict(row) for row in rows.itertuples()}
        empty = {"verdict": "", "span": 1}
        cells = [own[ANY] | {"span": len(protocols)}] if ANY in own else [own.get(p, empty) for p in protocols]
        first = rows.iloc[0]
        shown.append({"statement": first.statement, "measure": first.estimand, "cells": cells})
    return shown


def _verdict(row: Any) -> dict[str, Any]:
    estimate = "" if pd.isna(row.estimate) else _significant(row.estimate)
    ends = "" if pd.isna(row.ci_low) else f"[{_significant(row.ci_low)}, {_significant(row.ci_high)}]"
    return {"verdict": row.verdict, "estimate": estimate, "range": ends, "span": 1}


def _significant(value: float) -> str:
    """Claims have different units: one decimal from ten on, two below."""
    return number(value, "{:.1f}" if abs(value) >= 10 else "{:.2f}")


# ---------------------------------------------------------------- comparison


def _comparisons(inputs: Inputs) -> list[dict[str, Any]]:
    shown = []
    for table, title in TITLES.items():
        frame = inputs.compare(table)
        if frame.empty:
            continue
        short = frame[frame.benchmark == "average"]
        full = _comparison(inputs.config, frame) if len(short) < len(frame) else ""
        shown.append({"title": title, "short": _comparison(inputs.config, short), "full": full})
    return shown


def _comparison(config: Config, frame: pd.DataFrame) -> Markup:
    labels = {name: method.label for name, method in config.all_methods.items()} | {"base": "Base"}
    rows, previous = [], None
    for row in frame.itertuples():
        name, previous = ("" if row.model == previous else _model(config, row.model)), row.model
        benchmark = "improvement, %" if row.benchmark == "improvement_pct" else row.benchmark
        values = [number(value) for value in (row.reported, row.reference, row.ours)]
        rows.append([name, labels.get(row.method, row.method), benchmark, *values, bracket(row.ci_low, row.ci_high),
                     row.agreement])  # fmt: skip
    heads = ["Model", "Method", "Benchmark", "Reported", "Reference", "This run", "95 %", "Agreement"]
    return grid(heads, rows, words={0, 1, 2, 7})


def _model(config: Config, model: str) -> Markup:
    paper = config.models[model].stands_for if model in config.models else model
    below = "" if paper == model else Markup(" <small>for ") + paper + Markup("</small>")
    return Markup("<b>") + model + Markup("</b>") + below


def grid(heads: Sequence[str], rows: list[list[Any]], words: set[int]) -> Markup:
    """An HTML table; columns in `words` are text, a filled first cell starts a block. Cells may be Markup."""

    def line(tag: str, cells: Sequence[Any]) -> Markup:
        kinds = [' class="word wrap"' if i in words else "" for i in range(len(cells))]
        return Markup("").join(
            Markup(f"<{tag}{kind}>") + cell + Markup(f"</{tag}>") for kind, cell in zip(kinds, cells, strict=True)
        )

    body = [Markup("<tr>") + line("th", heads) + Markup("</tr>")]
    for cells in rows:
        block = ' class="block"' if cells[0] and not all(row[0] for row in rows) else ""
        body.append(Markup(f"<tr{block}>") + line("td", cells) + Markup("</tr>"))
    return Markup("<table>") + Markup("\n").join(body) + Markup("</table>")


# ---------------------------------------------------------------- tables and figures


def _tables(config: Config, captions: Path) -> list[dict[str, Any]]:
    folder = config.results_dir / "tables"
    found = [(name, folder / f"{name}.md") for name in experiments.table_names(config)]
    return [
        {"name": name, "html": from_markdown(path.read_text()), "caption": caption(captions / f"{name}.rst")}
        for name, path in found
        if path.exists()
    ]


def from_markdown(text: str) -> Markup:
    """The pipe table and the note that `typeset` writes; nothing else of Markdown."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cells = [[_inline(c.strip()) for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    notes = [_inline(line.strip("*")) for line in lines if not line.startswith("|")]
    words = {i for i, rule in enumerate(lines[1].strip("|").split("|")) if rule.strip() == ":--"}
    small = Markup("").join(Markup('<p class="small">') + note + Markup("</p>") for note in notes)
    return grid(cells[0], cells[2:], words) + small


def _inline(text: str) -> Markup:
    text = html.escape(text, quote=False).replace("&lt;br&gt;", "<br>")
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"(?<!\*)\*([^*]+)\*", r"<i>\1</i>", text)
    return Markup(re.sub(r"``(.+?)``", r"<code>\1</code>", text))


def caption(path: Path) -> Markup:
    """The paragraphs of a caption; empty when there is none."""
    text = path.read_text() if path.exists() else ""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    return Markup("").join(Markup("<p>") + _inline(part) + Markup("</p>") for part in paragraphs)


def _figures(config: Config, captions: Path) -> list[dict[str, Any]]:
    shown = []
    for name in FIGURES:
        path = config.figures_dir / f"{name}.png"
        if path.exists():
            raw = path.read_bytes()
            width = int.from_bytes(raw[16:20], "big")  # of a PNG's header
            shown.append({"name": name, "data": base64.b64encode(raw).decode(), "width": round(width * PNG_SCALE),
                          "caption": caption(captions / f"{name}.rst")})  # fmt: skip
    return shown


# ---------------------------------------------------------------- theory, audit, provenance


def _theory(record: Any) -> Markup | None:
    """Rows of theory/identities.json: a list, or a mapping that holds one under "identities"."""
    rows = record.get("identities", []) if isinstance(record, dict) else record
    if not rows:
        return None
    shown = []
    for row in rows:
        size = row.get("decimal")
        statement = Markup("<code>") + row.get("statement", "") + Markup("</code>")
        verdict = row.get("verdict", "") + ("" if size is None else f", by {size:.3g} at the witness")
        shown.append([row.get("kind", ""), row.get("title") or row.get("name", ""), statement, verdict])
    return grid(["Kind", "Statement", "Formula", "Verdict"], shown, words={0, 1, 2, 3})


def _audit(frame: pd.DataFrame) -> dict[str, Any] | None:
    if frame.empty:
        return None
    found = frame[~frame.consistent.astype(bool)] if "consistent" in frame else frame
    sentence = f"{len(frame)} checks; {len(found)} found a printed number that its own table or benchmark cannot give."
    return {"sentence": sentence, "findings": _plain(found) if len(found) else "", "every": _plain(frame)}


def _plain(frame: pd.DataFrame) -> Markup:
    numbers = set(frame.select_dtypes("number").columns)
    rows = [
        ["" if pd.isna(v) else f"{v:g}" if c in numbers else str(v) for c, v in row.items()]
        for _, row in frame.iterrows()
    ]
    return grid([str(c) for c in frame.columns], rows, {i for i, c in enumerate(frame.columns) if c not in numbers})


def _provenance(record: Any) -> Markup:
    """One line of run.json: commit, versions, hardware, wall time, whatever of them is there."""
    if not record:
        return Markup("No record of this run was kept.")
    flat = []
    for key, value in record.items():
        if key == "wall_seconds":
            hours, minutes = divmod(round(float(value) / 60), 60)
            flat.append(f"wall time {hours} h {minutes} min")
        elif isinstance(value, dict):
            flat.append(
                ", ".join(f"{name} {text}" for name, text in value.items() if not isinstance(text, dict | list))
            )
        elif not isinstance(value, list):
            flat.append(f"{key.replace('_', ' ')} {DASH if value is None else value}")
    return Markup(" &middot; ").join(part for part in flat if part)
