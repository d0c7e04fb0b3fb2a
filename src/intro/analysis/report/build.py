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
from intro.analysis.tables.typeset import DASH, MINUS, Block, Head, Sheet, bracket, number, plain, sheet, three_figures
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
        "comparison": _comparison(inputs),
        "tables": _tables(inputs, captions),
        "figures": _figures(config, captions),
        "theory": _theory(inputs.record("theory/identities.json")),
        "audit": _audit(inputs.compare("audit")),
        "provenance": _provenance(inputs.record("run.json")),
    }
    settings = {
        "scale": config.scale,
        "style": Markup(page.STYLE),
        "inks": VERDICTS,
        "tally": _tally(claims),
        "protocols": [PROTOCOLS.get(p, p) for p in _protocols(claims)],
        "stand_ins": any(name != spec.stands_for for name, spec in config.models.items()),
        "sections": [("compare" if name == "comparison" else name, name.capitalize()) for name in parts if parts[name]],
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
        verdicts = {row.protocol: _verdict(row) for row in rows.itertuples()}
        spanning = [verdicts[ANY] | {"span": len(protocols)}] if ANY in verdicts else None
        cells = spanning or [verdicts.get(p, {"verdict": "", "span": 1}) for p in protocols]
        first = rows.iloc[0]
        shown.append({"statement": first.statement, "measure": first.estimand, "cells": cells})
    return shown


def _verdict(row: Any) -> dict[str, Any]:
    numbers = (row.estimate, row.ci_low, row.ci_high)
    estimate, low, high = ("" if pd.isna(v) else three_figures(v).replace("-", MINUS) for v in numbers)
    return {"verdict": row.verdict, "estimate": estimate, "range": f"[{low}, {high}]" if low else "", "span": 1}


# ---------------------------------------------------------------- comparison


def _comparison(inputs: Inputs) -> list[dict[str, Any]]:
    """Per table the averages, and every cell where the table has more than averages."""
    shown = []
    for table, title in TITLES.items():
        if (frame := inputs.compare(table)).empty:
            continue
        short = frame[frame.benchmark == "average"]
        full = _compared(inputs.config, frame) if len(short) < len(frame) else ""
        shown.append({"title": title, "short": _compared(inputs.config, short), "full": full})
    return shown


def _compared(config: Config, frame: pd.DataFrame) -> Sheet:
    heads = [Head("Method", words=True), Head("Benchmark", words=True), Head("Reported"), Head("Reference")]
    heads += [Head("This run"), Head("95 %"), Head("Agreement", words=True)]
    labels, blocks = method_labels(config), []
    for model, rows in frame.groupby("model", sort=False):
        texts = [
            (
                labels.get(row.method, row.method),
                row.benchmark.replace("improvement_pct", "improvement, %"),
                *map(number, (row.reported, row.reference, row.ours)),
                bracket(row.ci_low, row.ci_high),
                row.agreement,
            )
            for row in rows.itertuples()
        ]
        paper = config.models[model].stands_for if model in config.models else model
        blocks.append(Block(plain(texts), str(model), paper))
    return Sheet(heads, blocks)


# ---------------------------------------------------------------- tables and figures


def _tables(inputs: Inputs, captions: Path) -> list[dict[str, Any]]:
    """The tables that were made, typeset again from the collected responses: a test holds that they are the same."""
    folder, names = inputs.config.results_dir / "tables", experiments.table_names(inputs.config)
    return [
        {"name": name, "sheet": typeset_table(inputs, name)[1], "caption": caption(captions / f"{name}.rst")}
        for name in names
        if (folder / f"{name}.csv").exists()
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
            raw, words = path.read_bytes(), caption(captions / f"{name}.rst")
            width = round(int.from_bytes(raw[16:20], "big") * PNG_SCALE)  # from a PNG's header
            data = base64.b64encode(raw).decode()
            shown.append({"name": name, "data": data, "width": width, "caption": words})
    return shown


# ---------------------------------------------------------------- theory, audit, provenance


def _theory(record: Any) -> Sheet | None:
    """Rows of theory/identities.json: a list, or a mapping that holds one under "identities"."""
    rows = record.get("identities", []) if isinstance(record, dict) else record
    if not rows:
        return None
    shown = []
    for row in rows:
        size = row.get("decimal")
        verdict = row.get("verdict", "") + ("" if size is None else f", by {size:.3g} at the witness")
        formula = Markup("<code>{}</code>").format(row.get("statement", ""))
        shown.append((row.get("kind", ""), row.get("title") or row.get("name", ""), formula, verdict))
    return Sheet([Head(h, words=True) for h in ("Kind", "Statement", "Formula", "Verdict")], [Block(plain(shown))])


def _audit(frame: pd.DataFrame) -> dict[str, Any] | None:
    if frame.empty:
        return None
    failed = frame[~frame.consistent.astype(bool)] if "consistent" in frame else frame
    sentence = f"{len(frame)} checks; {len(failed)} found a printed number that its own table or benchmark cannot give."
    return {"sentence": sentence, "findings": sheet(failed) if len(failed) else None, "every": sheet(frame)}


def _provenance(record: Any) -> Markup:
    """One line of run.json: those of commit, versions, hardware and wall time that it has."""
    if not record:
        return Markup("No record of this run was kept.")
    parts = []
    for key, value in record.items():
        if key == "wall_seconds":
            hours, minutes = divmod(round(float(value) / 60), 60)
            parts.append(f"wall time {hours} h {minutes} min")
        elif isinstance(value, dict):
            parts.append(", ".join(f"{name} {v}" for name, v in value.items() if not isinstance(v, dict | list)))
        elif not isinstance(value, list):
            parts.append(f"{key.replace('_', ' ')} {DASH if value is None else value}")
    return Markup(" &middot; ").join(part for part in parts if part)
