"""What a config needs of this machine, looked at one thing at a time: `intro doctor`."""

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
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Literal
from urllib.parse import urlsplit

from intro import experiments
from intro.config import Checkpoint, Config, Hub
from intro.infra import gpus as devices
from intro.infra.provenance import ROOT
from intro.types import install

WIDTH = 80
PATIENCE_S = 5.0  # for the network
JOB_BYTES = 1e9  # of a process beside its tensors: Python, torch, transformers


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `mend` says what to do about it, where something is to be done."""

    status: Literal["ok", "warn", "FAIL"]
    name: str
    found: str
    mend: str = ""

    @property
    def fails(self) -> bool:
        return self.status == "FAIL"


def examine(config: Config) -> list[Check]:
    """Every check that applies to the config. One that breaks is a warning: the doctor never dies of an illness."""
    found = []
    for check in CHECKS:
        try:
            result = check(config)
        except Exception as error:  # whatever a broken machine raises
            reason = str(error).strip().splitlines() or [type(error).__name__]
            result = Check("warn", check.__name__.replace("_", " "), f"could not be looked at ({reason[0]})")
        if result is not None:
            found.append(result)
    return found


def lines(checks: list[Check]) -> Iterator[str]:
    """Within 80 columns, and a summary at the end."""
    for check in checks:
        start = f"{check.status:5}{check.name:15}"
        told = check.found + (f" -> {check.mend}" if check.mend else "")
        yield from textwrap.wrap(told, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
    failing, warned = sum(c.fails for c in checks), sum(c.status == "warn" for c in checks)
    yield f"{len(checks)} checks: {failing} FAIL, {warned} warn"


# ---------------------------------------------------------------- Python and its packages


def python(config: Config) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - a copied source tree gets this far on an older Python
        return Check("FAIL", "Python", version, "make the environment with Python 3.11 or newer")
    return Check("ok", "Python", version)


def constraints(file: Path = ROOT / "constraints.txt") -> dict[str, str]:
    """Package to pinned version; none where there is no such file."""
    text = file.read_text() if file.is_file() else ""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", text, re.MULTILINE))


def required() -> list[str]:
    """The packages that the project itself names, extras left out."""
    try:
        named = metadata.requires("intro") or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^A-Za-z0-9._-]", entry, maxsplit=1)[0] for entry in named if "extra ==" not in entry]


def installed(package: str) -> str | None:
    """Its version without a local part such as +cu128; None where it is not installed."""
    try:
        return metadata.version(package).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def packages(config: Config) -> Check:
    """Installed versions against constraints.txt: other versions give other random numbers."""
    pinned = constraints()
    if missing := [name for name in required() if installed(name) is None]:
        return Check("FAIL", "packages", f"missing: {', '.join(missing)}", "make setup")
    other = {name: version for name in pinned if (version := installed(name)) not in (None, pinned[name])}
    if other:
        told = ", ".join(f"{name} {version} (pinned {pinned[name]})" for name, version in other.items())
        return Check("warn", "packages", told, install("dev"))
    count = sum(installed(name) is not None for name in pinned)
    return Check("ok", "packages", f"{count} at the versions of constraints.txt")


def git(config: Config) -> Check:
    if shutil.which("git") is None:
        return Check("warn", "git", "not installed", "install it: records then name the commit of a result")
    return Check("ok", "git", "installed")


def snakemake(config: Config) -> Check:
    version, plugin = installed("snakemake"), installed("snakemake-executor-plugin-slurm")
    if version is None:
        return Check("FAIL", "snakemake", "not installed", "make setup")
    slurm = f"SLURM plugin {plugin}" if plugin else "no SLURM plugin, which only profiles/slurm needs"
    return Check("ok", "snakemake", f"{version}, {slurm}")


# ---------------------------------------------------------------- the machine


def gpus_wanted(config: Config) -> int:
    """The most GPUs that one command of the config takes."""
    judge = config.verifier.hardware.gpus if config.verifier else 0
    return max(judge, *(model.hardware.gpus for model in config.models.values()))


def gpu_bytes() -> list[float]:
    """Memory of each visible GPU, as torch sees it."""
    import torch

    return [float(torch.cuda.get_device_properties(i).total_memory) for i in range(torch.cuda.device_count())]


def torch_build() -> str | None:
    """The CUDA (or ROCm) version that torch was built for; None for a CPU build."""
    import torch

    return torch.version.cuda or getattr(torch.version, "hip", None)


def gpus(config: Config) -> Check:
    wanted = gpus_wanted(config)
    if wanted == 0:
        return Check("ok", "GPUs", "this config runs on the CPU")
    build, sizes, there = torch_build(), gpu_bytes(), devices.visible_gpus()
    if build is None:
        mend = "install torch from the index of your CUDA version"
        return Check("FAIL", "GPUs", f"torch is a CPU build, {wanted} GPUs wanted, {len(there)} here", mend)
    told = f"{len(sizes)} of {min(sizes) / 1e9:.0f} GB, CUDA {build}" if sizes else f"none, torch for CUDA {build}"
    if len(sizes) < wanted:
        mend = "run it where the GPUs are, or lower hardware.gpus in the config"
        return Check("FAIL", "GPUs", f"{told}; {wanted} wanted", mend)
    return Check("ok", "GPUs", f"{told}; {wanted} wanted")


def planner(config: Config, memory_gb: float | None = None):
    """The config's plan on its default accelerator, with this machine's memory where that is known."""
    from intro.cost.estimate.assumptions import accelerator, assumptions, default_accelerator
    from intro.cost.estimate.work import Planner

    return Planner(config, accelerator(default_accelerator(config), memory=memory_gb), assumptions(config))


def gpu_memory(config: Config) -> Check | None:
    """The plan's peaks against the memory that is there."""
    if gpus_wanted(config) == 0 or not (sizes := gpu_bytes()):
        return None
    from intro.cost.estimate.fit import judge_trouble, model_plan

    planned = planner(config, min(sizes) / 1e9)
    over = [name for name in config.models if model_plan(planned, name).trouble]
    over += ["the judge"] if judge_trouble(planned) else []
    if over:
        return Check("FAIL", "GPU memory", f"too little for {', '.join(over)}", "`intro plan` says what would fit")
    return Check("ok", "GPU memory", "every run fits, as far as `intro plan` can tell")


def available_bytes() -> tuple[float, float] | None:
    """Memory that is free and all there is; None where the system does not say."""
    try:
        fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
        return 1024.0 * int(fields["MemAvailable"]), 1024.0 * int(fields["MemTotal"])
    except (OSError, KeyError):
        return None


def memory_wanted(config: Config) -> float:
    """Bytes of the host that one command needs at most: a copy of the weights per process, and what is offloaded."""
    from intro.cost.estimate.fit import model_plan
    from intro.cost.estimate.memory import width_of

    planned, most = planner(config), 0.0
    for name, model in config.models.items():
        hardware, parameters = model.hardware, planned.shape(name).parameters
        held = model_plan(planned, name).peak.most[1] if hardware.gpus == 0 else width_of(hardware) * parameters
        offloaded = 12.0 * parameters if hardware.offload else 0.0
        most = max(most, hardware.processes * (JOB_BYTES + held) + offloaded)
    return most


def memory(config: Config) -> Check:
    wanted, there = memory_wanted(config), available_bytes()
    if there is None:
        return Check("warn", "memory", f"unknown; {wanted / 1e9:.1f} GB wanted")
    free, whole = there
    told = f"{free / 1e9:.1f} of {whole / 1e9:.1f} GB free, {wanted / 1e9:.1f} GB wanted by one command"
    if whole < wanted:
        return Check("FAIL", "memory", told, "take a machine with more, or fewer processes per model")
    if free < wanted:
        return Check("warn", "memory", told, "end what else is running")
    return Check("ok", "memory", told)


def disk(config: Config) -> Check:
    """Free space where the results go against the plan's."""
    from intro.cost.estimate.targets import targets, total

    folder = next(f for f in (config.results_dir.absolute(), *config.results_dir.absolute().parents) if f.is_dir())
    free, cost = shutil.disk_usage(folder).free, total(targets(planner(config)))
    told = f"{free / 1e9:.1f} GB free, {cost.disk_bytes / 1e9:.1f} GB wanted"
    if free < cost.disk_bytes - cost.state_bytes:
        return Check("FAIL", "disk", told, "set `results` to a folder on a larger disk")
    if free < cost.disk_bytes:
        many = f"delete {config.results_dir}/.scratch as runs end"
        return Check("warn", "disk", told, many if config.training.keep_states else "train fewer models at a time")
    return Check("ok", "disk", told)


# ---------------------------------------------------------------- training and engines


def run(*command: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)


def deepspeed(config: Config) -> Check | None:
    if all(model.hardware.zero == 0 for model in config.models.values()):
        return None
    if find_spec("deepspeed") is None:
        return Check("FAIL", "DeepSpeed", "not installed", install("gpu"))
    done = run(sys.executable, "-c", "import deepspeed")  # a process of its own: it changes the one that imports it
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Check("FAIL", "DeepSpeed", f"does not import ({last})", "install it again, with its own log in sight")
    return Check("ok", "DeepSpeed", f"{installed('deepspeed')} imports")


def compiler(config: Config) -> Check | None:
    """DeepSpeed compiles a part of itself when it runs without GPUs."""
    split = [model for model in config.models.values() if model.hardware.zero > 0]
    if not split or all(model.hardware.gpus for model in split):
        return None
    name = next((c for c in (os.environ.get("CXX"), "c++", "g++", "clang++") if c and shutil.which(c)), None)
    if name is None:
        return Check("FAIL", "C++ compiler", "none; DeepSpeed on CPUs needs one", "install g++")
    return Check("ok", "C++ compiler", name)


def engine(config: Config) -> Check | None:
    """vLLM, in this environment for the models and in the verifier's own for the judge."""
    here = "vllm" in [model.hardware.engine for model in config.models.values()]
    judge = config.verifier if config.verifier and config.verifier.hardware.engine == "vllm" else None
    if judge and judge.python and not here:
        known = shutil.which(judge.python) and subprocess.run([judge.python, "-c", "import vllm"], capture_output=True)
        if not known or known.returncode:
            mend = "make that environment with the extra `vllm`, or choose another engine"
            return Check("FAIL", "vLLM", f"not in verifier.python, {judge.python}", mend)
        return Check("ok", "vLLM", f"in {judge.python}")
    if not here and judge is None:
        return None
    if find_spec("vllm") is None:
        return Check("FAIL", "vLLM", "not installed", "install the extra `vllm`, or choose another hardware.engine")
    return Check("ok", "vLLM", installed("vllm") or "installed")


# ---------------------------------------------------------------- benchmarks, data and models


def graders(config: Config) -> dict[str, str]:
    """Published benchmark to the name of its grader; none for the tiny world."""
    if not isinstance(config.data, Hub):
        return {}
    from intro.tasks.published.collections import collection

    return {name: collection(name).grader for name in config.data.benchmarks}


def sandbox(config: Config) -> Check | None:
    if not any("program" in grader for grader in graders(config).values()):
        return None
    from intro.tasks.graders.sandbox import available

    missing = available()
    if missing is None:
        return Check("ok", "sandbox", "bubblewrap works")
    if config.data.unsandboxed:
        return Check("warn", "sandbox", f"{missing}; data.unsandboxed lets programs run without", "only in a container")
    return Check("FAIL", "sandbox", missing, "or set data.unsandboxed, at your own risk")


def bigcodebench(config: Config) -> Check | None:
    if "library_program" not in graders(config).values():
        return None
    interpreter = config.data.bigcodebench_python
    if interpreter is None:
        mend = "name an environment with its libraries as data.bigcodebench_python"
        return Check("warn", "BigCodeBench", "its programs get this interpreter; many lack their libraries", mend)
    if shutil.which(interpreter) is None:
        return Check("FAIL", "BigCodeBench", f"{interpreter}: no such interpreter", "mend data.bigcodebench_python")
    done = run(interpreter, "-c", "import numpy, pandas, sklearn", seconds=60)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        mend = "install BigCodeBench's requirements there"
        return Check("FAIL", "BigCodeBench", f"{interpreter} lacks libraries ({last})", mend)
    return Check("ok", "BigCodeBench", interpreter)


def instructions(config: Config) -> Check | None:
    if "instructions" not in graders(config).values():
        return None
    mend = install("eval")
    if missing := [name for name in ("lm_eval", "langdetect", "nltk") if find_spec(name) is None]:
        return Check("FAIL", "IFEval", f"missing: {', '.join(missing)}", mend)
    if not has_punkt():
        return Check("FAIL", "IFEval", "NLTK's punkt_tab is missing", f"{mend}, or python -m nltk.downloader punkt_tab")
    return Check("ok", "IFEval", f"lm-eval {installed('lm-eval')}, punkt_tab")


def has_punkt() -> bool:
    """Whether NLTK finds its sentence model, or the package that carries it is there."""
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab/english")
    except LookupError:
        return find_spec("punkt") is not None
    return True


def reachable(seconds: float = PATIENCE_S) -> bool:
    """Whether the Hub's port answers. A thread asks, which nobody waits for: looking up a name knows no time limit."""
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


def sets_wanted(config: Config) -> list[str]:
    """Names of the published sets that a config reads."""
    from intro.tasks.published.hub import TRAINING_SETS

    return [*config.data.benchmarks, *TRAINING_SETS]


def mirror(config: Config) -> Check | None:
    """The folder with the rows of every set, where the config or INTRO_DATA_DIR names one."""
    if not isinstance(config.data, Hub):
        return None
    from intro.tasks.published.collections import collection
    from intro.tasks.published.fetch import in_mirror, mirror_folder

    folder = mirror_folder(config.data.mirror)
    if folder is None:
        return None
    if not folder.is_dir():
        return Check("FAIL", "mirror", f"{folder}: no such folder", "mend data.mirror or INTRO_DATA_DIR")
    wanted = sets_wanted(config)[: -1 if config.data.sample else None]  # a sample may do without the last
    missing = [name for name in wanted if not in_mirror(collection(name), folder).is_file()]
    if missing:
        told = f"{folder} lacks {', '.join(f'{name}.jsonl' for name in missing)}"
        return Check("FAIL", "mirror", told, "add them: one row of the set a line")
    return Check("ok", "mirror", f"{folder} has all {len(wanted)} sets")


def hub(config: Config) -> Check | None:
    """The Hub, where data come from it: what reads it, whether it answers, and a token for gated sets."""
    if not isinstance(config.data, Hub):
        return None
    from intro.tasks.published.collections import collection
    from intro.tasks.published.fetch import TOKEN_VARIABLE, mirror_folder

    if mirror_folder(config.data.mirror) is not None:
        return None
    if find_spec("datasets") is None:
        return Check("FAIL", "Hub", "its sets are read with `datasets`, which is not installed", install("eval"))
    if not reachable():
        mend = "go online, or point INTRO_DATA_DIR or data.mirror at a mirror"
        return Check("FAIL", "Hub", f"does not answer within {PATIENCE_S:.0f} s", mend)
    gated = [name for name in sets_wanted(config) if collection(name).page]
    if gated and not os.environ.get(TOKEN_VARIABLE):
        pages = ", ".join(f"{name} ({collection(name).page})" for name in gated)
        return Check("FAIL", "Hub", f"answers; no {TOKEN_VARIABLE} for {pages}", "accept the conditions, set the token")
    return Check("ok", "Hub", f"answers; {TOKEN_VARIABLE} " + ("is set" if gated else "is not needed"))


def models(config: Config) -> Check | None:
    """Published checkpoints: fetched, in a folder, or still to be fetched."""
    wanted = {
        name: (model.checkpoint, experiments.base_folder(config, name))
        for name, model in config.models.items()
        if isinstance(model, Checkpoint)
    }
    if config.verifier:
        wanted["the judge"] = (config.verifier.checkpoint, experiments.judge_folder(config))
    if not wanted:
        return None
    local = {name: Path(path) for name, (path, _) in wanted.items() if path.startswith((".", "/"))}
    if gone := [str(folder) for folder in local.values() if not (folder / "config.json").is_file()]:
        return Check("FAIL", "models", f"no model in {', '.join(gone)}", "mend the checkpoint's path in the config")
    distant = {name: pair for name, pair in wanted.items() if name not in local}
    store = os.environ.get("INTRO_MODELS_DIR")
    absent = [
        name
        for name, (path, fetched) in distant.items()
        if not (fetched / "config.json").is_file() and not (store and Path(store, path, "config.json").is_file())
    ]
    if not absent:
        return Check("ok", "models", f"all {len(wanted)} are here")
    told = f"{len(wanted) - len(absent)} of {len(wanted)} are here; not {', '.join(absent)}"
    if store:
        return Check("FAIL", "models", told, f"put them below INTRO_MODELS_DIR ({store}), or unset it")
    if not reachable():
        return Check("FAIL", "models", f"{told}, and the Hub does not answer", "go online, or set INTRO_MODELS_DIR")
    return Check("ok", "models", f"{told}, which `intro fetch` gets from the Hub")


CHECKS: tuple[Callable[[Config], Check | None], ...] = (
    python,
    packages,
    snakemake,
    git,
    gpus,
    gpu_memory,
    memory,
    disk,
    deepspeed,
    compiler,
    engine,
    sandbox,
    bigcodebench,
    instructions,
    mirror,
    hub,
    models,
)
