"""The sandbox: what passes, what does not, and what a hostile program cannot do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from intro.tasks import sandbox
from intro.tasks.sandbox import run_python
from intro.types import IntroError

HUMANEVAL = Path(os.environ.get("INTRO_HUMANEVAL", "absent"))
jailed = pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))
anyhow = {"timeout_s": 20.0, "unsandboxed": True}  # harmless programs, so that every machine tests the verdicts


def test_a_program_passes_when_it_comes_to_its_own_end() -> None:
    result = run_python("assert 1 + 1 == 2\nprint('done')", **anyhow)
    assert (result.passed, result.reason, result.stdout) == (True, "passed", "done\n")


FORGER = """
import os
for fd in range(3, 40):
    try: os.write(fd, b"passed")
    except OSError: pass
os._exit(0)
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("assert 1 + 1 == 3, 'sum'", "AssertionError: sum"),
        ("import sys; sys.exit(0)", "exited early"),
        ("import sys; sys.exit(3)", "exited early with an error"),
        ("import os; os._exit(0)", "ended without a word"),
        ("print('passed'); raise SystemExit", "exited early"),
        ("def f(:", "SyntaxError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ""),  # jailed or not, in other words
        (FORGER, "channel"),
    ],
)
def test_every_other_end_fails(code: str, reason: str) -> None:
    """An early exit is not a pass: the tests after it did not run."""
    result = run_python(code, **anyhow)
    assert not result.passed and reason in result.reason


def test_an_endless_program_is_ended() -> None:
    result = run_python("print('begun', flush=True)\nwhile True: pass", timeout_s=1.0, unsandboxed=True)
    assert (result.passed, result.reason, result.stdout) == (False, "timeout", "begun\n")


def test_standard_input_and_output() -> None:
    assert run_python("print(int(input()) * 2)", stdin="21\n", **anyhow).stdout == "42\n"


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: "no sandbox: bwrap is not installed")
    with pytest.raises(IntroError, match=r"bwrap is not installed; or say .*unsandboxed=True"):
        run_python("print(1)", timeout_s=5.0)


@jailed
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import socket; socket.create_connection(('1.1.1.1', 80), 2)", "OSError"),
        ("import socket; socket.create_connection(('127.0.0.1', 22), 2)", "Error"),
        ("open('/etc/hostname', 'w')", "Read-only file system"),
        ("x = bytearray(8 << 30)", "MemoryError"),
        ("f = open('/tmp/x', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20)); f.flush()", "File too large"),
    ],
)
def test_limits(code: str, reason: str) -> None:
    result = run_python(code, timeout_s=20.0)
    assert not result.passed and reason in result.reason


@jailed
def test_a_fork_bomb_ends_in_time() -> None:
    assert not run_python("import os\nwhile True: os.fork()", timeout_s=3.0).passed


@jailed
def test_programs_see_neither_the_home_nor_each_other() -> None:
    assert run_python("open('/tmp/left', 'w').write('x')", timeout_s=20.0).passed
    home = Path.home() / ".bashrc"
    seen = f"import os; print(os.path.exists('/tmp/left'), 'HF_TOKEN' in os.environ, os.path.exists({str(home)!r}))"
    assert run_python(seen, timeout_s=20.0).stdout == "False False False\n"


@jailed
@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="INTRO_HUMANEVAL names no file of HumanEval's rows")
def test_every_canonical_solution_passes_and_every_broken_one_fails() -> None:
    """A solution is broken by returning nothing, which no problem asks for."""
    for line in HUMANEVAL.read_text().splitlines():
        row = json.loads(line)
        tests = f"{row['test']}\ncheck({row['entry_point']})\n"
        right = run_python(f"{row['prompt']}{row['canonical_solution']}\n{tests}", timeout_s=30.0)
        assert right.passed, (row["task_id"], right.reason)
        assert not run_python(f"{row['prompt']}    return None\n{tests}", timeout_s=30.0).passed, row["task_id"]
