"""A command that starts itself again in every rank: results, exit codes, and one message for all ranks' errors."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

import toy
from intro.config import Config, load
from intro.experiments import Cell
from intro.model.load import load_model
from intro.training import launch
from intro.types import IntroError
from needs import needs_deepspeed

# a launcher of one rank that needs neither torch nor DeepSpeed: `python -c RANKS module arguments`
RANKS = """
import os, runpy, sys
os.environ |= {"RANK": "0", "WORLD_SIZE": "%d", "LOCAL_RANK": "0"}
print("the launcher's own noise", file=sys.stderr, flush=True)
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(end.code, "and the launcher's echo", file=sys.stderr, flush=True)
    raise
"""


@pytest.fixture
def config_file(toy_config: Config, tmp_path: Path) -> Path:
    """Two ranks under ZeRO-3, and a learning rate that needs no grid."""
    mapping = toy.mapping(tmp_path)
    mapping["models"]["qwen2-s"]["hardware"] = {"processes": 2, "zero": 3}
    mapping["models"]["qwen3-m"]["hardware"] = {"processes": 1, "zero": 2, "dtype": "bfloat16"}
    protocol = {"paper": {"learning_rate": 0.003, "steps": 3}, "tuned": {}}
    (toy_config.results_dir / "learning_rates.json").write_text(json.dumps(protocol))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(mapping))
    return path


def intro(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "INTRO_LAUNCH")}
    return subprocess.run(
        [sys.executable, "-m", "intro.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env=clean | {"OMP_NUM_THREADS": "1"} | environment,
    )


def assert_trained(path: Path, model: str, method: str) -> None:
    config = load(path)
    folder = Cell(model, method, "paper", 0).folder(config)
    assert list(pd.read_csv(folder / "metrics.csv").step) == [1, 2, 3]
    assert set(pd.read_csv(folder / "curves.csv").subset) == {"hard", "all", "train"}
    settings = json.loads((folder / "record.json").read_text())["settings"]
    assert settings["hardware"] == config.models[model].hardware.model_dump()
    assert load_model(folder / "final").config.model_type == model.split("-")[0]


@needs_deepspeed
def test_train_starts_its_ranks_and_leaves_one_set_of_files(config_file: Path) -> None:
    """Two ranks started by torchrun; only the first writes files and shows a progress bar."""
    done = intro("train", "--model", "qwen2-s", "--method", "grpo", "-c", config_file)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_trained(config_file, "qwen2-s", "grpo")
    assert "qwen2-s grpo" in done.stderr and "Traceback" not in done.stderr and "Warning" not in done.stderr


@needs_deepspeed
def test_one_process_under_zero_needs_no_launcher(config_file: Path) -> None:
    """The process is the only rank, in bfloat16."""
    done = intro("train", "--model", "qwen3-m", "--method", "sft", "-c", config_file)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_trained(config_file, "qwen3-m", "sft")


def test_an_error_of_the_ranks_is_shown_once(config_file: Path) -> None:
    """Messages of other ranks and the launcher's report are not shown."""
    done = intro("train", "--model", "qwen2-s", "--method", "ppo", "-c", config_file)
    assert done.returncode == 1
    assert done.stderr.strip() == "intro: method: unknown 'ppo'; this config has grpo, intro, sft, intro-n1"


def test_another_launcher_can_be_named(config_file: Path) -> None:
    """INTRO_LAUNCH starts the same command; for a wrong number of processes there is one message."""
    launcher = shlex.join([sys.executable, "-c", RANKS % 3])
    done = intro("train", "--model", "qwen2-s", "--method", "grpo", "-c", config_file, INTRO_LAUNCH=launcher)
    assert done.returncode == 1
    assert "the launcher's own noise" in done.stderr and "echo" not in done.stderr
    assert "intro: hardware.processes: expected 2 processes, found 3; start as many" in done.stderr
    missing = intro("train", "--model", "qwen2-s", "--method", "grpo", "-c", config_file, INTRO_LAUNCH="no-launcher")
    assert missing.stderr.startswith("intro: cannot start no-launcher") and missing.returncode == 1


def test_debug_shows_every_traceback(config_file: Path) -> None:
    launcher = shlex.join([sys.executable, "-c", RANKS % 3])
    done = intro("--debug", "train", "--model", "qwen2-s", "--method", "grpo", "-c", config_file, INTRO_LAUNCH=launcher)
    assert done.returncode == 1 and "Traceback" in done.stderr and "expected 2 processes, found 3" in done.stderr


def test_exit_code_of_a_launcher_becomes_the_commands(capfd: pytest.CaptureFixture) -> None:
    """Its stderr is shown when no rank has reported an error; a signal gives the exit code that a shell gives."""
    with pytest.raises(SystemExit, match="7"):
        launch.run_launcher([sys.executable, "-c", "import sys; print('killed', file=sys.stderr); sys.exit(7)"])
    assert "killed" in capfd.readouterr().err
    with pytest.raises(SystemExit, match="137"):
        launch.run_launcher([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    launch.run_launcher([sys.executable, "-c", ""])


def test_the_message_of_a_rank_becomes_the_commands() -> None:
    """An IntroError of a rank is an IntroError of the command."""
    code = "import os, sys; open(os.environ['INTRO_ERROR_FILE'], 'w').write('no room'); sys.exit(1)"
    with pytest.raises(IntroError, match=r"^no room$"):
        launch.run_launcher([sys.executable, "-c", code])


def test_the_first_error_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later errors, of ranks that fail because another one failed, are ignored."""
    monkeypatch.setenv(launch.ERROR_FILE, str(tmp_path / "error"))
    launch.report_error("first")
    launch.report_error("second")
    assert (tmp_path / "error").read_text() == "first"
    monkeypatch.delenv(launch.ERROR_FILE)
    launch.report_error("to nobody")


def test_ending_the_command_ends_its_ranks(tmp_path: Path) -> None:
    """A workflow that is cancelled sends SIGTERM to the command, which passes it to its launcher."""
    file = tmp_path / "alive"
    child = f"import time; open({str(file)!r}, 'w').close(); time.sleep(60)"
    code = (
        f"import sys; from intro.training.launch import run_launcher; run_launcher([sys.executable, '-c', {child!r}])"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.terminate()
    assert parent.wait(20) == 128 + 15
