"""The sandbox: what passes, what does not, and what a hostile program cannot do."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from intro.tasks.graders import sandbox
from intro.tasks.graders.sandbox import run_python
from intro.types import IntroError

HUMANEVAL = Path(os.environ.get("INTRO_HUMANEVAL", "absent"))
jailed = pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))
anyhow = {"timeout_s": 20.0, "unsandboxed": True}  # harmless programs, so that every machine tests the grades


def test_a_program_that_runs_to_its_end_passes() -> None:
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
def test_a_program_has_no_capabilities() -> None:
    read = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')])"
    result = run_python(read, timeout_s=20.0)
    assert result.passed and result.stdout == f"{['0' * 16] * 5}\n"  # CapInh, CapPrm, CapEff, CapBnd, CapAmb


LIBC = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def refused(done):
    return done == -1 and ctypes.get_errno() in (errno.EPERM, errno.EACCES, errno.EINVAL)
"""
REMOUNT, NEW_USER_AND_MOUNTS = 0x20 | 0x1000 | 0xE, 0x10000000 | 0x20000  # MS_*, CLONE_*


@jailed
@pytest.mark.parametrize("path", ["/", "/proc", "/mnt/program.py", "/tmp"])
@pytest.mark.parametrize("nested", [False, True])
def test_no_mount_is_undone(path: str, nested: bool) -> None:
    """Nested: a user namespace of the program's own, whose capabilities must not reach the sandbox's mounts."""
    enter = f"if os.fork(): os._exit(os.wait()[1] != 0)\nlibc.unshare({NEW_USER_AND_MOUNTS})\n" if nested else ""
    undo = f"assert refused(libc.umount2({path!r}.encode(), 2))\n"
    if path != "/tmp":
        undo += f"assert refused(libc.mount(None, {path!r}.encode(), None, {REMOUNT}, None))\n"
    assert run_python(LIBC + enter + undo, timeout_s=20.0).passed


@jailed
@pytest.mark.parametrize("folder", ["/proc/sys", "/proc/irq", "/proc/bus", "/sys", "/etc"])
def test_nothing_outside_is_writable(folder: str) -> None:
    """Also for root, who owns the kernel's settings without any capability."""
    code = f"""
import os
for folder, _, names in os.walk({folder!r}):
    for path in [folder, *(os.path.join(folder, name) for name in names)]:
        assert os.path.islink(path) or not os.access(path, os.W_OK), path
"""
    assert run_python(code, timeout_s=20.0).reason == "passed"


@jailed
def test_the_host_file_behind_the_program_is_read_only() -> None:
    assert "Read-only file system" in run_python("open('/mnt/program.py', 'a')", timeout_s=20.0).reason
    assert "Read-only file system" in run_python("open('/proc/self/comm', 'w')", timeout_s=20.0).reason


@jailed
def test_ordinary_programs_still_work() -> None:
    code = """
import json, multiprocessing, subprocess, sys, tempfile, threading
with tempfile.NamedTemporaryFile("w+") as file:
    json.dump([1, 2], file)
thread = threading.Thread(target=print, args=("thread",))
thread.start(); thread.join()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
assert subprocess.run([sys.executable, "-c", "print(3)"], capture_output=True).stdout == b"3\\n"
open("/dev/null", "w").write("x")
"""
    result = run_python(code, timeout_s=30.0)
    assert (result.reason, result.stdout) == ("passed", "thread\n")


def weaken(monkeypatch: pytest.MonkeyPatch, option: list[str], weaker: list[str]) -> None:
    """Replace one option of bubblewrap's command."""
    jail = sandbox._jail

    def weakened(interpreter: Path, program: Path) -> list[str]:
        command = jail(interpreter, program)
        starts = [i for i in range(len(command)) if command[i : i + len(option)] == option]
        return [*command[: starts[-1]], *weaker, *command[starts[-1] + len(option) :]]

    monkeypatch.setattr(sandbox, "_jail", weakened)


root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has these rights to lose")


@jailed
@pytest.mark.parametrize(
    ("option", "weaker", "escape"),
    [
        pytest.param(["--cap-drop", "ALL"], [], "use capabilities, .*unmount /tmp, .*remount /,", marks=root),
        pytest.param(["--remount-ro", "/proc"], [], "write to /proc/sys/kernel/core_pattern", marks=root),
        (["--ro-bind"], ["--bind"], "write to /mnt/program.py"),  # the last one is the program's
    ],
)
def test_a_sandbox_with_an_escape_is_not_available(
    monkeypatch: pytest.MonkeyPatch, option: list[str], weaker: list[str], escape: str
) -> None:
    weaken(monkeypatch, option, weaker)
    monkeypatch.setattr(sandbox, "available", sandbox.available.__wrapped__)  # not the cached answer
    with pytest.raises(IntroError, match=rf"can escape from bubblewrap \(.*{escape}.*\); update .*unsandboxed=True"):
        run_python("print(1)", timeout_s=20.0)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["true"], "None"),
        (["echo", "unmount /tmp"], "no sandbox: a program can escape from bubblewrap (unmount /tmp"),
        (["false"], "no sandbox: bubblewrap does not work here"),
    ],
)
def test_the_availability_check_reads_what_the_escape_prints(
    monkeypatch: pytest.MonkeyPatch, command: list[str], answer: str
) -> None:
    """Also without bubblewrap: a command that prints stands for an escape, one that fails for no sandbox."""
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sandbox, "_jail", lambda *_: command)
    assert str(sandbox.available.__wrapped__()).startswith(answer)


def test_the_command_drops_capabilities_and_makes_proc_read_only() -> None:
    command = " ".join(sandbox._jail(Path(sys.executable), Path("/program.py")))
    assert " --cap-drop ALL " in command
    assert " --proc /proc --remount-ro /proc " in command


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
