"""Check that this machine has what a config needs: `intro doctor`. PROBES lists everything that is checked."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from intro.config import Checkpoint, Config, Hardware, HubData
from intro.cost.estimate.arithmetic import config_file
from intro.cost.estimate.fit import host_memory, misfits
from intro.cost.estimate.work import Estimator, total
from intro.experiments import base_folder, judge_folder, problems_file
from intro.infra.gpus import visible_gpus
from intro.infra.provenance import ROOT
from intro.tasks.graders import sandbox as sandboxing
from intro.tasks.graders.programs import missing_libraries
from intro.tasks.jsonl import read_problems
from intro.types import IntroError, Problem, install

if TYPE_CHECKING:
    from intro.tasks.published.collections import Collection

WIDTH = 80  # columns
NETWORK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found. fix: what to do about it; empty where there is nothing to do."""

    status: Literal["ok", "warn", "FAIL"]
    found: str
    fix: str = ""

    @property
    def fails(self) -> bool:
        return self.status == "FAIL"


ok, warn, fail = partial(Finding, "ok"), partial(Finding, "warn"), partial(Finding, "FAIL")


@dataclass(frozen=True, slots=True)
class Probe:
    """One check. applies: whether the config, on this machine, needs it at all."""

    name: str
    look: Callable[[Config], Finding]
    applies: Callable[[Config], bool] = lambda config: True


def examine(config: Config) -> dict[str, Finding]:
    """Name of each probe that applies to the config -> its finding. A probe that raises becomes a warning."""
    findings = {}
    for probe in PROBES:
        try:
            if probe.applies(config):
                findings[probe.name] = probe.look(config)
        except Exception as error:  # whatever a broken installation raises
            reason = str(error).strip().splitlines() or [type(error).__name__]
            findings[probe.name] = warn(f"could not be checked ({reason[0]})")
    return findings


def lines(findings: dict[str, Finding]) -> Iterator[str]:
    """The findings as text of at most 80 columns, and a summary."""
    for name, finding in findings.items():
        start = f"{finding.status:5}{name:15}"
        text = finding.found + (f" -> {finding.fix}" if finding.fix else "")
        yield from textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
    statuses = [finding.status for finding in findings.values()]
    yield f"{len(statuses)} checks: {statuses.count('FAIL')} FAIL, {statuses.count('warn')} warn"


def run(*command: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
    """A command with its output captured and no standard input. Raises TimeoutExpired after `seconds`."""
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)


# ---------------------------------------------------------------- Python and its packages


def python(config: Config) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - a copied source tree gets this far on an older Python
        return fail(version, "make the environment with Python 3.11 or newer")
    return ok(version)


def constraints(file: Path = ROOT / "constraints.txt") -> dict[str, str]:
    """Package -> pinned version; empty where there is no such file."""
    text = file.read_text() if file.is_file() else ""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", text, re.MULTILINE))


def installed(package: str) -> str | None:
    """The version of a package without a local part such as +cu128; None where it is not installed."""
    try:
        return metadata.version(package).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def packages(config: Config) -> Finding:
    """Installed versions against constraints.txt: with other versions random numbers differ."""
    pinned = constraints()
    wanted = [e for e in metadata.requires("intro") or [] if "extra ==" not in e or e.endswith('extra == "pipeline"')]
    required = [re.split(r"[^\w.-]", entry)[0] for entry in wanted]
    if missing := [name for name in required if installed(name) is None]:
        return fail(f"missing: {', '.join(missing)}", "make setup")
    versions = {name: version for name in pinned if (version := installed(name))}
    if other := [f"{name} {v} (pinned {pinned[name]})" for name, v in versions.items() if v != pinned[name]]:
        return warn(", ".join(other), install("dev"))
    return ok(f"{len(versions)} at the versions of constraints.txt")


def snakemake(config: Config) -> Finding:
    version, plugin = installed("snakemake"), installed("snakemake-executor-plugin-slurm")
    if version is None:
        return fail("not installed", "make setup")
    return ok(f"{version}, " + (f"SLURM plugin {plugin}" if plugin else "no SLURM plugin (profiles/slurm needs it)"))


# ---------------------------------------------------------------- the machine


def layouts(config: Config) -> list[Hardware]:
    """The hardware entry of each model."""
    return [model.hardware for model in config.models.values()]


def gpus_needed(config: Config) -> int:
    """The most GPUs that one command of the config takes."""
    judge = config.verifier.hardware.gpus if config.verifier else 0
    return max(judge, *(hardware.gpus for hardware in layouts(config)))


def torch_gpus() -> tuple[str | None, list[float]]:
    """The CUDA or ROCm version that torch was built for (None: a CPU build), and the bytes of each visible GPU."""
    import torch

    sizes = [float(torch.cuda.get_device_properties(i).total_memory) for i in range(torch.cuda.device_count())]
    return torch.version.cuda or getattr(torch.version, "hip", None), sizes


def gpus(config: Config) -> Finding:
    needed = gpus_needed(config)
    if needed == 0:
        return ok("this config runs on the CPU")
    build, sizes = torch_gpus()
    if build is None:
        text = f"torch is a CPU build; {needed} GPUs needed, {len(visible_gpus())} visible"
        return fail(text, "install torch from the index of your CUDA version")
    text = f"{len(sizes)} of {min(sizes) / 1e9:.0f} GB, CUDA {build}" if sizes else f"none, torch for CUDA {build}"
    if len(sizes) < needed:
        return fail(f"{text}; {needed} needed", "run it where the GPUs are, or lower hardware.gpus in the config")
    return ok(f"{text}; {needed} needed")


def gpu_memory(config: Config) -> Finding:
    """The estimated peaks against the memory of the smallest visible GPU."""
    estimator = Estimator.of(config, memory_gb=min(torch_gpus()[1]) / 1e9)
    if exceeding := misfits(estimator):
        return fail(f"too little for {', '.join(exceeding)}", "`intro plan` shows what fits")
    return ok("every run fits by the estimate of `intro plan`")


def memory(config: Config) -> Finding:
    """Memory of the host against what one command needs at most."""
    import psutil

    needed, host = host_memory(Estimator.of(config)), psutil.virtual_memory()
    text = f"{host.available / 1e9:.1f} of {host.total / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed by one command"
    if host.total < needed:
        return fail(text, "take a machine with more memory, or fewer processes per model")
    return warn(text, "end other programs") if host.available < needed else ok(text)


def disk(config: Config) -> Finding:
    """Free space at the results folder against the estimate."""
    results = config.results_dir.absolute()
    folder = next(f for f in (results, *results.parents) if f.is_dir())
    free, cost = shutil.disk_usage(folder).free, total(Estimator.of(config))
    text = f"{free / 1e9:.1f} GB free, {cost.disk_bytes / 1e9:.1f} GB needed"
    if free < cost.disk_bytes - cost.state_bytes:
        return fail(text, "set `results` to a folder on a larger disk")
    if free >= cost.disk_bytes:
        return ok(text)
    states = f"delete {config.results_dir}/.scratch as runs end"
    return warn(text, states if config.training.keep_states else "train fewer models at a time")


# ---------------------------------------------------------------- training and engines


def deepspeed(config: Config) -> Finding:
    if find_spec("deepspeed") is None:
        return fail("not installed", install("gpu"))
    done = run(sys.executable, "-c", "import deepspeed")  # in its own process: importing it changes the process
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return fail(f"does not import ({last})", "install it again and read the build's log")
    return ok(f"{installed('deepspeed')} imports")


def compiler(config: Config) -> Finding:
    """DeepSpeed compiles an extension when it runs without GPUs."""
    name = next((c for c in (os.environ.get("CXX"), "c++", "g++", "clang++") if c and shutil.which(c)), None)
    return ok(name) if name else fail("none; DeepSpeed on CPUs needs one", "install g++")


def vllm_interpreters(config: Config) -> list[str]:
    """Interpreters that must import vLLM: this one for the models, the one in `verifier` for the judge."""
    found = [sys.executable for hardware in layouts(config) if hardware.engine == "vllm"]
    if config.verifier and config.verifier.hardware.engine == "vllm":
        found.append(config.verifier.python or sys.executable)
    return list(dict.fromkeys(found))


def vllm(config: Config) -> Finding:
    interpreters = vllm_interpreters(config)
    if sys.executable in interpreters and find_spec("vllm") is None:
        return fail("not installed", "install the extra `vllm`, or choose another hardware.engine")
    for interpreter in interpreters:
        other = interpreter != sys.executable
        if other and (shutil.which(interpreter) is None or run(interpreter, "-c", "import vllm").returncode):
            fix = "make that environment with the extra `vllm`, or choose another engine"
            return fail(f"not in verifier.python, {interpreter}", fix)
    return ok(f"in {', '.join(interpreters)}")


# ---------------------------------------------------------------- benchmarks, data and models


def published_sets(config: Config) -> list[Collection]:
    """The published sets that a config reads: its benchmarks, then those of training. None for the tiny world."""
    if not isinstance(config.data, HubData):
        return []
    from intro.tasks.published.collections import collection
    from intro.tasks.published.source import TRAINING_SETS

    return [collection(name) for name in (*config.data.benchmarks, *TRAINING_SETS)]


def graded_by(config: Config, ending: str) -> list[str]:
    """Names of the published sets whose grader has a name with this ending."""
    return [published.name for published in published_sets(config) if published.grader.endswith(ending)]


def sandbox(config: Config) -> Finding:
    missing = sandboxing.available()
    if missing is None:
        return ok("bubblewrap works")
    if config.data.unsandboxed:
        return warn(f"{missing}; data.unsandboxed runs programs without it", "do this only in a container")
    return fail(missing, "or set data.unsandboxed, at your own risk")


def bigcodebench(config: Config) -> Finding:
    """The libraries that the problems import; before the problems are made, three that most of them do."""
    interpreter = config.data.bigcodebench_python
    file = problems_file(config, graded_by(config, "library_program")[0])
    problems = read_problems(file) if file.is_file() else [Problem("", "", "import numpy, pandas, sklearn", "")]
    try:
        missing = missing_libraries(problems, python=interpreter)
    except IntroError as error:
        return fail(str(error), "fix data.bigcodebench_python")
    if missing is None:
        return ok(f"{interpreter or 'this interpreter'} has the libraries of its programs")
    return fail(missing) if interpreter else warn(f"data.bigcodebench_python is not set; {missing}")


def ifeval(config: Config) -> Finding:
    fix = install("eval")
    if missing := [name for name in ("lm_eval", "langdetect", "nltk") if find_spec(name) is None]:
        return fail(f"missing: {', '.join(missing)}", fix)
    from nltk import data

    try:
        data.find("tokenizers/punkt_tab/english")
    except LookupError:
        if find_spec("punkt") is None:  # the package that holds it as well
            return fail("NLTK's punkt_tab is missing", f"{fix}, or python -m nltk.downloader punkt_tab")
    return ok(f"lm-eval {installed('lm-eval')}, punkt_tab")


def reachable(seconds: float = NETWORK_TIMEOUT_S) -> bool:
    """Whether the Hub's port accepts a connection. In a daemon thread, since resolving a name has no time limit."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address, answered = urlsplit(constants.ENDPOINT), Event()

    def ask() -> None:
        port = address.port or (443 if address.scheme == "https" else 80)
        with suppress(OSError), socket.create_connection((address.hostname, port), timeout=seconds):
            answered.set()

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()


def mirror_of(config: Config) -> Path | None:
    """The folder with the published sets, where the config or INTRO_DATA_DIR names one."""
    from intro.tasks.published.fetch import mirror_folder

    return mirror_folder(config.data.mirror) if isinstance(config.data, HubData) else None


def mirror(config: Config) -> Finding:
    from intro.tasks.published.fetch import in_mirror

    folder = mirror_of(config)
    if not folder.is_dir():
        return fail(f"{folder}: no such folder", "fix data.mirror or INTRO_DATA_DIR")
    needed = published_sets(config)[: -1 if config.data.sample else None]  # a sample does not need the last one
    if missing := [f"{published.name}.jsonl" for published in needed if not in_mirror(published, folder).is_file()]:
        return fail(f"{folder} lacks {', '.join(missing)}", "add them: one row of the set per line")
    return ok(f"{folder} has all {len(needed)} sets")


def hub(config: Config) -> Finding:
    """The package that reads data sets, the connection, and a token for gated sets."""
    from intro.tasks.published.fetch import TOKEN_VARIABLE

    if find_spec("datasets") is None:
        return fail("its sets are read with `datasets`, which is not installed", install("eval"))
    if not reachable():
        fix = "go online, or point INTRO_DATA_DIR or data.mirror at a mirror"
        return fail(f"no answer within {NETWORK_TIMEOUT_S:.0f} s", fix)
    gated = [f"{published.name} ({published.page})" for published in published_sets(config) if published.page]
    if gated and not os.environ.get(TOKEN_VARIABLE):
        text = f"reachable; no {TOKEN_VARIABLE} for {', '.join(gated)}"
        return fail(text, "accept the conditions and set the token")
    return ok(f"reachable; {TOKEN_VARIABLE} " + ("is set" if gated else "is not needed"))


def checkpoints(config: Config) -> dict[str, tuple[str, Path]]:
    """Model -> its published checkpoint and the folder that `intro fetch` puts it into."""
    published = [(name, model) for name, model in config.models.items() if isinstance(model, Checkpoint)]
    found = {name: (model.checkpoint, base_folder(config, name)) for name, model in published}
    return found | ({"the judge": (config.verifier.checkpoint, judge_folder(config))} if config.verifier else {})


def models(config: Config) -> Finding:
    """Published checkpoints: in a folder, fetched, or still to be fetched."""
    store, absent = os.environ.get("INTRO_MODELS_DIR"), []
    needed = checkpoints(config)
    for name, (checkpoint, fetched) in needed.items():
        if config_file(checkpoint, fetched) is None:
            if checkpoint.startswith((".", "/")):
                return fail(f"no model in {checkpoint}", f"fix the checkpoint of {name} in the config")
            absent.append(name)
    if not absent:
        return ok(f"all {len(needed)} are here")
    text = f"{len(needed) - len(absent)} of {len(needed)} are here; not {', '.join(absent)}"
    if store:
        return fail(text, f"put them below INTRO_MODELS_DIR ({store}), or unset it")
    if not reachable():
        return fail(f"{text}, and the Hub does not answer", "go online, or set INTRO_MODELS_DIR")
    return ok(f"{text}; `intro fetch` gets them from the Hub")


PROBES = (
    Probe("Python", python),
    Probe("packages", packages),
    Probe("snakemake", snakemake),
    Probe("git", lambda config: ok("installed") if shutil.which("git") else warn("not installed", "install it")),
    Probe("GPUs", gpus),
    Probe("GPU memory", gpu_memory, lambda config: gpus_needed(config) > 0 and bool(torch_gpus()[1])),
    Probe("memory", memory),
    Probe("disk", disk),
    Probe("DeepSpeed", deepspeed, lambda config: any(h.zero for h in layouts(config))),
    Probe("C++ compiler", compiler, lambda config: any(h.zero and not h.gpus for h in layouts(config))),
    Probe("vLLM", vllm, lambda config: bool(vllm_interpreters(config))),
    Probe("sandbox", sandbox, lambda config: bool(graded_by(config, "program"))),
    Probe("BigCodeBench", bigcodebench, lambda config: bool(graded_by(config, "library_program"))),
    Probe("IFEval", ifeval, lambda config: bool(graded_by(config, "instructions"))),
    Probe("mirror", mirror, lambda config: mirror_of(config) is not None),
    Probe("Hub", hub, lambda config: isinstance(config.data, HubData) and mirror_of(config) is None),
    Probe("models", models, lambda config: bool(checkpoints(config))),
)
