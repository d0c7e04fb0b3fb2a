"""Compare a run with the paper: the audit, the table cells and the claims."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from intro.analysis.claims.judge import ClaimAtRate, JudgedClaim, judge, judge_grid
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
    results, claims = load_results(config), record(config)
    paper, reference = agreement.read_reported(reported / "reported.csv"), agreement.read_reference(config)
    texts = {}
    for table in agreement.TABLES:
        frame = agreement.table_frame(results.under(SHARED_RATE), paper, reference, table)
        texts[f"compare/{table}.csv"] = frame.round(4).to_csv(index=False)
    at_rates = judge_grid(results, claims)
    grid = pd.DataFrame(at_rates, columns=ClaimAtRate._fields)
    rows = pd.DataFrame(judge(results, claims, at_rates), columns=JudgedClaim._fields)
    texts["compare/audit.csv"] = audit_frame(reported).to_csv(index=False)
    texts["compare/claims_grid.csv"] = grid.to_csv(index=False)
    texts["claims.csv"] = rows.round(6).to_csv(index=False)
    texts["claims.md"] = markdown(rows, grid)
    for name, text in texts.items():
        write_text(config.results_dir / name, text)
    return [config.results_dir / name for name in texts]
