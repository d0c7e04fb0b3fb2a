"""One command in as many processes as the model's hardware names: the command starts itself again under a launcher."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from intro.config import Config
from intro.experiments import check_model
from intro.infra.gpus import reserve_gpus
from intro.types import IntroError, sentence_of

ERROR_FILE = "INTRO_ERROR_FILE"  # environment variable: the file for the message of the first rank that fails


def launch(config: Config, model: str, work: Callable[[], None]) -> None:
    """Run `work` in this process, or, when the hardware has several processes, this whole command in each of them.

    INTRO_LAUNCH replaces torchrun, for several nodes. It must end where a module's name can follow, and all nodes must
    see one results folder. Raises IntroError for an unknown model, and with the message of the first rank that fails.
    """
    check_model(config, model)
    hardware = config.models[model].hardware
    launcher = shlex.split(os.environ.get("INTRO_LAUNCH", ""))
    if "RANK" in os.environ:
        run_rank(work)
        return
    several = hardware.processes > 1
    with reserve_gpus(0 if launcher and several else hardware.gpus):  # INTRO_LAUNCH assigns GPUs itself
        if several:
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            torchrun += ["--nproc-per-node", str(hardware.processes), "--module"]
            run_launcher([*(launcher or torchrun), "intro.cli", *sys.argv[1:]])
            return
        work()
    exit_rank()


def run_rank(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        if message := sentence_of(error):
            report_error(message)
        raise
    exit_rank()


def run_launcher(command: list[str]) -> None:
    """Run a launcher to its end. Raises IntroError with the message of the first rank that failed, or SystemExit with
    the launcher's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        error_file = Path(folder) / "error"
        variables = {} if "--debug" in sys.argv else {ERROR_FILE: str(error_file)}
        try:
            launcher = subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.PIPE)
        except OSError as error:
            raise IntroError(
                f"cannot start {command[0]} ({error.strerror}); correct INTRO_LAUNCH or unset it"
            ) from None
        assert launcher.stderr is not None  # stderr=PIPE
        before = signal.signal(signal.SIGTERM, lambda *_: launcher.terminate())
        try:
            while chunk := os.read(launcher.stderr.fileno(), 1 << 16):
                # after the first error, other ranks and the launcher only report its consequences
                if not error_file.exists():
                    sys.stderr.buffer.write(chunk)
                    sys.stderr.buffer.flush()
        finally:
            code = launcher.wait()
            signal.signal(signal.SIGTERM, before)
        if error_file.exists():
            raise IntroError(error_file.read_text())
        if code:
            sys.exit(code if code > 0 else 128 - code)


def report_error(message: str) -> None:
    """Write the message for the process that started this rank, unless another rank has written one."""
    if path := os.environ.get(ERROR_FILE):
        with suppress(OSError), open(path, "x") as file:  # another rank was first, or this rank is on another node
            file.write(message)


def exit_rank() -> None:
    """End a rank at once: DeepSpeed's threads sometimes abort an interpreter that shuts down after a successful run."""
    from torch import distributed

    if not distributed.is_initialized():  # plain PyTorch, which shuts down safely
        return
    distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
