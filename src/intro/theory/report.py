"""The decided statements as files: identities.json for programs, identities.md for readers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from intro.infra.files import write_json, write_text
from intro.theory.catalogue import identities
from intro.theory.registry import Identity


def write(folder: Path) -> list[Path]:
    """Decide every statement and write identities.json and identities.md into `folder`; both paths."""
    found = identities()
    write_text(folder / "identities.md", page(found))
    write_json(folder / "identities.json", [asdict(record) for record in found])
    return [folder / "identities.json", folder / "identities.md"]


def page(found: list[Identity]) -> str:
    """Markdown with LaTeX: a summary table, then every statement with what was assumed and where it was decided."""
    proved = sum(record.verdict == "proved" for record in found)
    refuted = sum(record.kind == "counterexample" and record.verdict == "refuted" for record in found)
    head = [
        "# Proposition 2.1 and its neighbours\n",
        f"{proved} identities proved and {refuted} tempting equalities refuted, exactly, by sympy, in"
        f" {sum(record.seconds for record in found):.0f} seconds. An identity is proved when the difference of its"
        " sides is the zero rational function of all token probabilities. A counterexample comes with the closed"
        " form of its gap, which is proved as well, and with the gap's exact value at a rational point.\n",
        "| statement | kind | verdict | size of the gap | a rescaling? |\n|---|---|---|---|---|",
    ]
    return "\n".join([*head, *map(_row, found), "", *map(_section, found)])


def _row(record: Identity) -> str:
    size = "" if record.decimal is None else f"{record.decimal:.4g}"
    rescaling = {None: "", True: "yes", False: "no"}[record.rescaling]
    return f"| {record.title} | {record.kind} | {record.verdict} | {size} | {rescaling} |"


def _section(record: Identity) -> str:
    paragraphs = [
        f"## {record.title}",
        f"`{record.name}`, {record.kind}: **{record.verdict}** in {record.seconds:.1f} s",
        f"$${record.statement}$$",
        f"Assumed: {record.assumptions}.",
        f"Decided for: {'; '.join(record.settings)}.",
    ]
    if record.gap is not None:
        paragraphs += ["Left minus right, proved:", f"$${record.gap}$$"]
    if record.witness is not None:
        largest = f"`{record.size}`, about {record.decimal:.6g}"
        at = ", ".join(f"{name} = {value}" for name, value in record.witness.items())
        paragraphs += [f"Largest component at a witness in the last setting: {largest}.", f"Witness: `{at}`."]
    return "\n\n".join(paragraphs) + "\n"
