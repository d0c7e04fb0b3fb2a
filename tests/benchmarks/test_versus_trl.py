"""The comparison with TRL compares like with like, and says what is missing when TRL is."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import common
import versus_trl

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "versus_trl.py"


def test_without_trl_it_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr(common, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["versus_trl.py"])
    with pytest.raises(SystemExit, match=r"trl, which is not installed; `pip install .*\[bench\]'`"):
        versus_trl.main()


@pytest.mark.skipif(find_spec("trl") is None, reason="needs the extra bench")
def test_both_sides_do_the_same_work(tmp_path: Path) -> None:
    """Same number of generated tokens in every step; InTRO keeps what the judge calls right, GRPO everything."""
    code = (
        "import versus_trl as v; from pathlib import Path\n"
        "v.PROMPTS, v.GROUP, v.LENGTH, v.WARMUP = 4, 2, 3, 1\n"
        "v.MODEL = v.MODEL.model_copy(update={'hidden': 16, 'layers': 1})\n"
        f"folder = Path({str(tmp_path)!r}); v.write_model(folder, 0)\n"
        "for r in v.measure(folder, 2, 0): print('ROW', r['tokens'], r['kept'], r['ratio'] > 0, r['step'], sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=BENCHMARK.parent
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:] for line in done.stdout.splitlines() if line.startswith("ROW")]
    assert {float(row[0]) for row in rows} == {24} and {row[2] for row in rows} == {"True"}
    kept = {row[3]: row[1] for row in rows}
    assert kept["GRPO, 1 update"] == kept["InTRO, all kept"] == "1.0" and 0 < float(kept["InTRO, half kept"]) < 1
