"""Compare a run with the paper: the audit, the table cells and the claims."""

from __future__ import annotations

from pathlib import Path

from intro.analysis.claims.judge import claims_frame, grid_frame, judge, judge_grid
from intro.analysis.claims.records import record
from intro.analysis.claims.scoreboard import markdown
from intro.analysis.compare import agreement
from intro.analysis.compare.audit import audit_frame
from intro.analysis.data.inputs import REPORTED
from intro.analysis.data.results import SHARED_RATE, load_results
from intro.config import Config
from intro.infra.files import write_text


def run(config: Config, reported: Path = REPORTED) -> list[Path]:
    """Write compare/*.csv, claims.csv and claims.md below results/{scale} and return their paths.

    The cells of compare/{main,ood,ablation_n}.csv are those of the shared-rate protocol, as in the paper's tables.
    """
    folder, results = config.results_dir, load_results(config)
    paper = agreement.read_reported(reported / "reported.csv")
    reference = agreement.read_reference(config)
    shared, texts = results.under(SHARED_RATE), {}
    for table in agreement.TABLES:
        frame = agreement.table_frame(shared, paper, reference, table)
        texts[f"compare/{table}.csv"] = frame.round(4).to_csv(index=False)
    texts["compare/audit.csv"] = audit_frame(reported).to_csv(index=False)

    claims = record(config)
    grid = judge_grid(results, claims)
    rows = claims_frame(judge(results, claims, grid))
    texts["compare/claims_grid.csv"] = grid_frame(grid).to_csv(index=False)
    texts["claims.csv"] = rows.round(6).to_csv(index=False)
    texts["claims.md"] = markdown(rows, grid_frame(grid))
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
