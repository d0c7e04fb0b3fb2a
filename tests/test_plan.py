"""What there is to run: every evaluation is in one process, and no GPU works on a suite that nobody asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from intro.config import load
from intro.plan import bundles, evaluations

CONFIG = Path(__file__).resolve().parents[1] / "config"


@pytest.mark.parametrize("name", ["tiny", "reference", "smoke", "rehearsal", "paper", "llama"])
def test_every_evaluation_is_in_one_process(name: str) -> None:
    config = load(CONFIG / f"{name}.yaml")
    made = Counter((cell, suite) for suites, cells in bundles(config).items() for cell in cells for suite in suites)
    assert made == Counter(evaluations(config))


def test_a_checkpoint_on_cpus_has_one_process_and_one_on_gpus_one_per_suite() -> None:
    """Starting costs more than a suite of the tiny world; a suite of the paper's takes hours."""
    tiny, paper = load(CONFIG / "tiny.yaml"), load(CONFIG / "paper.yaml")
    processes = Counter(cell for cells in bundles(tiny).values() for cell in cells)
    assert set(processes.values()) == {1}
    assert ("main", "ood", "given") in bundles(tiny)
    assert set(bundles(paper)) == {("main",), ("ood",), ("given",)}
