"""results/{scale}/report.html: claims first, then comparison, tables, figures, theory, audit and provenance."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from docutils.core import publish_parts
from jinja2 import Environment
from markupsafe import Markup

from intro import experiments
from intro.analysis.claims.judge import ANY
from intro.analysis.data.inputs import Inputs
from intro.analysis.figures.palette import VERDICTS
from intro.analysis.report import page
from intro.analysis.tables.build import method_labels, typeset_table
from intro.analysis.tables.typeset import DASH, MINUS, Block, Entry, Head, Sheet, bracket, number, sheet, three_figures
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
        "tables": _tables(inputs, captions),
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
    estimate, low, high = (
        "" if pd.isna(v) else three_figures(v).replace("-", MINUS) for v in (row.estimate, row.ci_low, row.ci_high)
    )
    return {"verdict": row.verdict, "estimate": estimate, "range": f"[{low}, {high}]" if low else "", "span": 1}


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


def _comparison(config: Config, frame: pd.DataFrame) -> Sheet:
    heads = [Head("Method", words=True), Head("Benchmark", words=True), Head("Reported"), Head("Reference")]
    heads += [Head("This run"), Head("95 %"), Head("Agreement", words=True)]
    labels, blocks = method_labels(config), []
    for model, rows in frame.groupby("model", sort=False):
        texts = [
            [
                labels.get(row.method, row.method),
                "improvement, %" if row.benchmark == "improvement_pct" else row.benchmark,
                *(number(value) for value in (row.reported, row.reference, row.ours)),
                bracket(row.ci_low, row.ci_high),
                row.agreement,
            ]
            for row in rows.itertuples()
        ]
        paper = config.models[model].stands_for if model in config.models else model
        blocks.append(Block([[Entry(text) for text in row] for row in texts], str(model), paper))
    return Sheet(heads, blocks)


# ---------------------------------------------------------------- tables and figures


def _tables(inputs: Inputs, captions: Path) -> list[dict[str, Any]]:
    """The tables that were made, typeset again from the collected responses: a test holds that they are the same."""
    folder = inputs.config.results_dir / "tables"
    found = [name for name in experiments.table_names(inputs.config) if (folder / f"{name}.csv").exists()]
    return [
        {"name": name, "sheet": typeset_table(inputs, name)[1], "caption": caption(captions / f"{name}.rst")}
        for name in found
    ]


def caption(path: Path) -> Markup:
    """A caption, which Snakemake's report shows as well, as HTML; empty when there is none."""
    text = path.read_text() if path.exists() else ""
    # an error in a caption must not end up as text in the page
    settings = {"halt_level": 2, "report_level": 5, "smart_quotes": False, "initial_header_level": 3}
    return Markup(publish_parts(text, writer="html5", settings_overrides=settings)["fragment"])


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


def _theory(record: Any) -> Sheet | None:
    """Rows of theory/identities.json: a list, or a mapping that holds one under "identities"."""
    rows = record.get("identities", []) if isinstance(record, dict) else record
    if not rows:
        return None
    heads = [Head(text, words=True) for text in ("Kind", "Statement", "Formula", "Verdict")]
    shown = []
    for row in rows:
        size = row.get("decimal")
        verdict = row.get("verdict", "") + ("" if size is None else f", by {size:.3g} at the witness")
        formula = Markup("<code>{}</code>").format(row.get("statement", ""))
        texts = (row.get("kind", ""), row.get("title") or row.get("name", ""), formula, verdict)
        shown.append([Entry(text) for text in texts])
    return Sheet(heads, [Block(shown)])


def _audit(frame: pd.DataFrame) -> dict[str, Any] | None:
    if frame.empty:
        return None
    found = frame[~frame.consistent.astype(bool)] if "consistent" in frame else frame
    sentence = f"{len(frame)} checks; {len(found)} found a printed number that its own table or benchmark cannot give."
    return {"sentence": sentence, "findings": sheet(found) if len(found) else None, "every": sheet(frame)}


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
