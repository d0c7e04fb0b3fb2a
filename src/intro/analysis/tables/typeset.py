"""Tables as Markdown and as a LaTeX tabular (booktabs): the best of each block in bold, intervals beside averages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from intro.config import Config

DASH = "–"
MINUS = "−"
SPECIAL = {c: f"\\{c}" for c in "%&_#$"} | {"–": "--", MINUS: "$-$"}


@dataclass(frozen=True, slots=True)
class Columns:
    """Words of a table: two header lines per benchmark, a label per method, and whether improvements are shown."""

    heads: dict[str, tuple[str, str]]
    labels: dict[str, str]
    improvement: bool


def number(value: float, form: str = "{:.1f}") -> str:
    """A missing value is a dash; a negative one gets a true minus sign."""
    return DASH if not np.isfinite(value) else form.format(value).replace("-", MINUS)


def bracket(low: float, high: float) -> str:
    return f"[{number(low)}, {number(high)}]" if np.isfinite(low) and np.isfinite(high) else ""


def scores_table(frame: pd.DataFrame, columns: Columns, note: str) -> dict[str, str]:
    """Both texts of a table of scores, keyed by file suffix."""
    blocks = [_block(rows, columns) for _, rows in frame.groupby("model", sort=False)]
    return {"md": _markdown(frame, blocks, columns, note), "tex": _latex(frame, blocks, columns, note)}


def _block(rows: pd.DataFrame, columns: Columns) -> list[list[tuple[str, bool]]]:
    """Cells of one model's rows as (text, best): method, benchmarks, average, interval, improvement."""
    shown = [*columns.heads, "average", *(["improvement_pct"] if columns.improvement else [])]
    best = {c: rows[c].round(1).max() for c in shown}
    cells = []
    for _, row in rows.iterrows():
        line = [(columns.labels.get(row.method, row.method), False)]
        for column in shown:
            form = "{:+.1f} %" if column == "improvement_pct" else "{:.1f}"
            line.append((number(row[column], form), bool(round(row[column], 1) == best[column])))
            if column == "average":
                line.append((bracket(row.average_ci_low, row.average_ci_high), False))
        cells.append(line)
    return cells


def _markdown(frame: pd.DataFrame, blocks: list, columns: Columns, note: str) -> str:
    heads = ["<br>".join(part for part in head if part) for head in columns.heads.values()]
    heads = ["Model", "Method", *heads, "Average", "95 %", *(["Improvement"] if columns.improvement else [])]
    lines = ["| " + " | ".join(heads) + " |", "|:--|:--|" + "--:|" * (len(heads) - 2)]
    for (model, rows), block in zip(frame.groupby("model", sort=False), blocks, strict=True):
        paper = rows.stands_for.iloc[0]
        name = f"**{model}**" if model == paper else f"**{model}**<br>{paper}"
        for place, cells in enumerate(block):
            texts = [f"**{text}**" if best else text for text, best in cells]
            lines.append("| " + " | ".join([name if place == 0 else "", *texts]) + " |")
    return "\n".join([*lines, "", f"*{note}*", ""])


def _latex(frame: pd.DataFrame, blocks: list, columns: Columns, note: str) -> str:
    width = len(columns.heads) + 3 + columns.improvement
    top = [
        "",
        *(escape(a) for a, _ in columns.heads.values()),
        "Average",
        "95\\,\\%",
        *["Improvement"] * columns.improvement,
    ]
    under = ["", *(f"\\scriptsize {escape(b)}" if b else "" for _, b in columns.heads.values())]
    lines = [f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}", "\\toprule", " & ".join(top) + r" \\"]
    if any(b for _, b in columns.heads.values()):
        lines.append(" & ".join([*under, *[""] * (width - len(under))]) + r" \\")
    for (model, rows), block in zip(frame.groupby("model", sort=False), blocks, strict=True):
        paper = rows.stands_for.iloc[0]
        name = f"\\textit{{{escape(model)}}}" + ("" if model == paper else f" (for {escape(paper)})")
        lines += ["\\midrule", f"\\multicolumn{{{width}}}{{l}}{{{name}}} \\\\"]
        for cells in block:
            texts = [f"\\textbf{{{escape(t)}}}" if best else escape(t) for t, best in cells]
            lines.append(" & ".join(texts) + r" \\")
    return _close(lines, width, note)


def _close(lines: list[str], width: int, note: str) -> str:
    foot = f"\\multicolumn{{{width}}}{{p{{0.95\\linewidth}}}}{{\\footnotesize {escape(note)}}}"
    return "\n".join([*lines, "\\bottomrule", foot, "\\end{tabular}", ""])


def escape(text: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in text)


# ---------------------------------------------------------------- n


def ablation_n(config: Config, frame: pd.DataFrame, spread: str) -> dict[str, str]:
    """One column per n, as the paper prints it; `spread` is what the intervals rest on."""
    model = config.ablation_n.model
    note = (
        f"{model} (for {config.models[model].stands_for}). n counts the rationale's own token. "
        f"Brackets: 95 % interval ({spread}). Entropy: nats per token, mean over the last quarter of training."
    )
    best = frame.average.round(1).max()
    rows = {
        "Average": [(number(v), bool(round(v, 1) == best)) for v in frame.average],
        "95 %": [(bracket(low, high), False) for low, high in zip(frame.ci_low, frame.ci_high, strict=True)],
        "Policy entropy": [(number(v, "{:.3f}"), False) for v in frame.policy_entropy],
    }
    ns = [f"n = {n}" for n in frame.n]
    md = ["| | " + " | ".join(ns) + " |", "|:--|" + "--:|" * len(ns)]
    tex = [
        f"\\begin{{tabular}}{{l{'r' * len(ns)}}}",
        "\\toprule",
        " & ".join(["", *(f"${n}$" for n in ns)]) + r" \\",
        "\\midrule",
    ]
    for name, cells in rows.items():
        md.append("| " + " | ".join([name, *(f"**{t}**" if b else t for t, b in cells)]) + " |")
        tex.append(" & ".join([escape(name), *(f"\\textbf{{{t}}}" if b else escape(t) for t, b in cells)]) + r" \\")
    return {"md": "\n".join([*md, "", f"*{note}*", ""]), "tex": _close(tex, len(ns) + 1, note)}
