"""One command, as many processes as the model's hardware asks for: the command starts itself again under a launcher."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from intro.config import Config
from intro.experiments import check_model
from intro.infra.gpus import reserve_gpus
from intro.types import IntroError, sentence_of

COMPLAINT = "INTRO_COMPLAINT"  # file for the sentence of the first rank that fails


def launch(config: Config, model: str, work: Callable[[], None]) -> None:
    """Run `work` here, or, when the hardware has several processes, this whole command in each of them.

    INTRO_LAUNCH replaces the launcher, for several nodes; it must end so that a module's name can follow, and all nodes
    must see one results folder.
    """
    check_model(config, model)
    hardware = config.models[model].hardware
    launcher = shlex.split(os.environ.get("INTRO_LAUNCH", ""))
    if "RANK" in os.environ:  # one of several
        work_as_rank(work)
        return
    several = hardware.processes > 1
    with reserve_gpus(0 if launcher and several else hardware.gpus):  # a launcher of one's own knows which GPUs are its
        if several:
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            torchrun += ["--nproc-per-node", str(hardware.processes), "--module"]
            start([*(launcher or torchrun), "intro.cli", *sys.argv[1:]])
            return
        work()
    exit_rank()


def work_as_rank(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        if said := sentence_of(error):
            report_error(said)
        raise
    exit_rank()


def start(command: list[str]) -> None:
    """Run a launcher to its end. Raises IntroError with the first rank's sentence, SystemExit with its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        complaint = Path(folder) / "complaint"
        told = {} if "--debug" in sys.argv else {COMPLAINT: str(complaint)}
        try:
            launcher = subprocess.Popen(command, env=os.environ | told, stderr=subprocess.PIPE)
        except OSError as error:
            raise IntroError(
                f"cannot start {command[0]} ({error.strerror}); mend INTRO_LAUNCH or leave it out"
            ) from None
        assert launcher.stderr is not None  # a pipe was asked for
        before = signal.signal(signal.SIGTERM, lambda *_: launcher.terminate())
        try:
            while chunk := os.read(launcher.stderr.fileno(), 1 << 16):
                # once a rank has said what is wrong, the rest is the others' and the launcher's echo of it
                if not complaint.exists():
                    sys.stderr.buffer.write(chunk)
                    sys.stderr.buffer.flush()
        finally:
            code = launcher.wait()
            signal.signal(signal.SIGTERM, before)
        if complaint.exists():
            raise IntroError(complaint.read_text())
        if code:
            sys.exit(code if code > 0 else 128 - code)


def report_error(sentence: str) -> None:
    """Leave the sentence where the process that launched this one looks; the first rank's stands."""
    if not (path := os.environ.get(COMPLAINT)):
        return
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except OSError:  # another rank was first, or this one is on another node
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(sentence)


def exit_rank() -> None:
    """End a rank. DeepSpeed's threads sometimes abort an interpreter that shuts down after a good run."""
    from torch import distributed

    if not distributed.is_initialized():  # plain torch, and nothing to fear
        return
    distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
