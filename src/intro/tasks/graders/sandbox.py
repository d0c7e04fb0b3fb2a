"""Runs programs that a model wrote: without network, on a read-only disk, under limits of time and memory.

The sandbox is bubblewrap. Without it nothing runs, unless the caller allows it explicitly.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from intro.types import IntroError

MEMORY_MB, PROCESSES, FILE_MB = 4096, 64, 16
PASSED, EARLY, TIMEOUT = "passed", "exited early", "timeout"

# Runs inside. It writes a secret token when the program has run to its end; the program cannot obtain the token by
# exiting early or by printing. Limits are hard limits: the program cannot raise them.
HARNESS = """
import os, resource, signal, sys, threading, time
status, secret, seconds, memory, processes, file = map(int, sys.argv[1:7])
token = os.read(secret, 64)
os.close(secret)
os.set_inheritable(status, False)
limits = {"AS": memory << 20, "CPU": seconds, "FSIZE": file << 20, "CORE": 0}
jailed = len(sys.argv) > 8
if jailed:  # outside, all of the user's processes would count
    limits["NPROC"] = processes
for name, value in limits.items():
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a too large file is an OSError, not a silent death
def watch(listdir=os.listdir, kill=os.kill, write=os.write, sleep=time.sleep, leave=os._exit):
    while True:  # NPROC does not bind root, so the processes of the sandbox are also counted
        if sum(name.isdigit() for name in listdir("/proc")) > processes:
            write(status, b"too many processes")
            kill(-1, 9)
            leave(1)
        sleep(0.02)
if jailed:
    threading.Thread(target=watch, daemon=True).start()
with open(sys.argv[7]) as source:
    text = source.read()
sys.argv = ["program.py"]
try:
    exec(compile(text, "program.py", "exec"), {"__name__": "__main__", "__file__": "program.py"})
    sys.stdout.flush()
except SystemExit as end:
    said = b"exited early" + (b"" if end.code in (None, 0) else b" with an error")
except BaseException as error:
    said = f"{type(error).__name__}: {error}"[:500].encode(errors="replace")
else:
    said = token
try:
    sys.stdout.flush()
finally:
    os.write(status, said)
    os._exit(0)
"""

# Tries to leave the sandbox and prints each attempt that succeeds, one per line. The attempts are harmless outside:
# they change only mounts of the sandbox's own namespace, and files are opened for writing but not written. They are
# repeated in a nested user namespace, in which a program has all capabilities again.
ESCAPE = """
import ctypes, os
libc = ctypes.CDLL(None)
NAMESPACES = 0x10000000 | 0x20000 | 0x20000000  # CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID
WRITABLE = 0x20 | 0x1000 | 2 | 4 | 8  # MS_REMOUNT, MS_BIND; MS_NOSUID, MS_NODEV, MS_NOEXEC may be locked
def attempt():
    for path in ("/tmp", "/run"):
        if libc.umount2(path.encode(), 2) == 0:  # MNT_DETACH
            print("unmount", path, flush=True)
    for path in ("/", "/proc", "/mnt/program.py"):
        if libc.mount(None, path.encode(), None, WRITABLE, None) == 0:
            print("remount", path, flush=True)
    if libc.mount(b"proc", b"/mnt", b"proc", 0, None) == 0:
        print("mount a new /proc", flush=True)
    for path in ("/mnt/program.py", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/mtrr"):
        try:
            os.close(os.open(path, os.O_WRONLY))
        except OSError:
            continue
        print("write to", path, flush=True)
with open("/proc/self/status") as status:
    if any(line.startswith("CapEff:") and int(line.split()[1], 16) for line in status):
        print("use capabilities", flush=True)
if os.fork() == 0:
    if libc.unshare(NAMESPACES) == 0:
        if os.fork() == 0:  # the new process namespace begins with a child
            attempt()
        else:
            os.wait()
else:
    os.wait()
    attempt()
"""


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """`passed`: the program ran to its end and every assertion held; `stdout` is cut at the file limit."""

    passed: bool
    reason: str  # "passed", "timeout", "exited early", or what ended it
    stdout: str = ""


@cache
def available() -> str | None:
    """None where the sandbox starts and no escape succeeds, else why not and what to do."""
    if shutil.which("bwrap") is None:
        return "no sandbox: bubblewrap (bwrap) is not installed; on Debian `apt-get install bubblewrap`"
    with tempfile.NamedTemporaryFile("w", prefix="intro-", suffix=".py") as program:
        program.write(ESCAPE)
        program.flush()
        jail = _jail(Path(sys.executable), Path(program.name))
        test = subprocess.run([*jail, sys.executable, "-I", "/mnt/program.py"], capture_output=True, text=True)
    if test.returncode:
        return f"no sandbox: bubblewrap does not work here ({test.stderr.strip()}); allow user namespaces"
    if test.stdout:
        escapes = ", ".join(dict.fromkeys(test.stdout.splitlines()))
        return f"no sandbox: a program can escape from bubblewrap ({escapes}); update bubblewrap or do not run as root"
    return None


def run_python(
    code: str,
    *,
    timeout_s: float,
    stdin: str = "",
    python: str | None = None,
    unsandboxed: bool = False,
    memory_mb: int = MEMORY_MB,
) -> SandboxResult:
    """Run a program in a separate process. Raises IntroError without a sandbox, unless `unsandboxed` allows it.

    timeout_s: wall clock, the interpreter's start included. python: another interpreter, whose environment has the
    libraries that the program needs. memory_mb: address space of each process.
    """
    if (missing := available()) and not unsandboxed:
        raise IntroError(f"{missing}; or say that model-written code may run without one (unsandboxed=True)")
    interpreter = Path(python or sys.executable)
    with tempfile.TemporaryDirectory(prefix="intro-") as folder, tempfile.TemporaryFile() as output:
        program = Path(folder) / "program.py"
        program.write_text(code, encoding="utf-8", errors="replace")
        inside = program if missing else Path("/mnt/program.py")
        (status, said), (secret, give) = os.pipe(), os.pipe()
        token = secrets.token_hex(16).encode()
        os.write(give, token)
        os.close(give)
        limits = (math.ceil(timeout_s) + 1, memory_mb, PROCESSES, FILE_MB)
        harness = [str(interpreter), "-I", "-c", HARNESS, str(said), str(secret), *map(str, limits), str(inside)]
        command = harness if missing else [*_jail(interpreter, program), *harness, "counted"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL, pass_fds=(said, secret),
            start_new_session=True, cwd=folder, env=ENVIRONMENT,
        )  # fmt: skip
        os.close(said)
        os.close(secret)
        late = False
        try:
            process.communicate(stdin.encode(errors="replace"), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with os.fdopen(status, "rb") as pipe:
            os.set_blocking(status, False)
            end = pipe.read() or b""
        output.seek(0)
        printed = output.read(FILE_MB << 20).decode(errors="replace")
    if late:
        return SandboxResult(False, TIMEOUT, printed)
    if end == token:
        return SandboxResult(True, PASSED, printed)
    said_it = end.replace(token, b"").decode(errors="replace")
    if said_it.startswith(PASSED):
        said_it = "wrote to the channel of the verdict"
    silent = f"killed by signal {-process.returncode}" if process.returncode < 0 else "ended without a word"
    return SandboxResult(False, said_it or silent, printed)


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "MPLBACKEND": "Agg"}
ENVIRONMENT |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a pool per program would meet the process limit


def _jail(interpreter: Path, program: Path) -> list[str]:
    """bubblewrap: own namespaces (no network), no capabilities, read-only root and /proc, no homes, a private /tmp.

    Root keeps all capabilities by default, so its programs could undo every mount. Without capabilities it still owns
    the kernel settings below /proc/sys, so /proc is read-only too.
    """
    homes = [str(home) for home in {Path("/home"), Path("/root"), Path.home()} if home.is_dir()]
    hidden = [part for home in homes for part in ("--tmpfs", home)]
    # the interpreter may lie in a hidden home: show its environment and its installation again
    real = interpreter.resolve()
    needed = {interpreter.absolute().parent.parent, real.parent.parent}
    shown = [part for path in sorted(needed) if path != Path("/usr") for part in ("--ro-bind", str(path), str(path))]
    return [
        "bwrap", "--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session",
        "--ro-bind", "/", "/", *hidden, "--tmpfs", "/tmp", "--tmpfs", "/run", *shown, "--tmpfs", "/mnt",
        "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev",
        "--ro-bind", str(program), "/mnt/program.py", "--chdir", "/tmp",
    ]  # fmt: skip
