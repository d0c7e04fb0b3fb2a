"""What an estimate assumes: accelerators, engines, and numbers that only a run can measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from intro.types import IntroError

if TYPE_CHECKING:  # the command line imports this module for its options, and its help must not import config
    from intro.config import Config


def _option(help: str, default: Any = MISSING) -> Any:
    """A number that `intro plan` has an option for."""
    return field(default=default, metadata={"help": help})


OF_IT = "[default: that of the accelerator]"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Data-sheet numbers of one device: the peak is of dense bf16, the price the order of magnitude of clouds."""

    name: str
    tflops: float = _option(f"Set the device's peak, in 1e12 FLOP/s. {OF_IT}")
    bandwidth: float = _option(f"Set its memory bandwidth, in 1e12 byte/s. {OF_IT}")
    memory: float = _option(f"Set the memory of one device, in 1e9 bytes. {OF_IT}")
    price: float = _option(f"Set the price of a device, in dollars per hour. {OF_IT}")


ACCELERATORS = {
    a.name: a
    for a in (
        Accelerator("a100-80g", 312, 2.04, 80, 2.0),
        Accelerator("a100-40g", 312, 1.56, 40, 1.3),
        Accelerator("h100", 989, 3.35, 80, 3.0),
        Accelerator("h200", 989, 4.8, 141, 3.8),
        Accelerator("b200", 2250, 8.0, 180, 6.0),
        Accelerator("l40s", 362, 0.864, 48, 1.0),
        Accelerator("a10g", 70, 0.6, 24, 0.8),
        Accelerator("rtx4090", 165, 1.01, 24, 0.4),
        Accelerator("cpu", 0.1, 0.02, 8, 0.05),  # one core, fp32
    )
}
ALIASES = {"a100": "a100-80g"}


def needs_gpus(config: Config) -> bool:
    return any(model.hardware.gpus for model in config.models.values())


def accelerator(config: Config, name: str | None = None, **changes: float | None) -> Accelerator:
    """By name, with the numbers that are not None replaced. None: a GPU where a model of the config asks for GPUs.

    Raises IntroError for an unknown name.
    """
    name = name or ("a100" if needs_gpus(config) else "cpu")
    given = {key: value for key, value in changes.items() if value is not None}
    for key, value in given.items():
        if value < 0 or (value == 0 and key != "price"):
            raise IntroError(f"--{key}: expected a positive number, found {value:g}")
    if (found := ACCELERATORS.get(ALIASES.get(name, name))) is None:
        raise IntroError(
            f"--accelerator: unknown '{name}'; known are {', '.join([*ALIASES, *ACCELERATORS])}; for another one "
            "give --tflops, --bandwidth, --memory and --price beside the nearest of them"
        )
    return replace(found, **given)


@dataclass(frozen=True, slots=True)
class EngineSpeed:
    """How an engine decodes. All engines give the place of a finished row to the next prompt."""

    overhead: float  # seconds per layer and step beside the roofline: launching kernels, Python
    paged: bool  # caches hold the present tokens; else each row has room for the longest response


# our estimates: eager PyTorch launches some 20 kernels per layer; transformers adds its cache and module calls;
# vLLM replays a recorded graph
ENGINES: Mapping[str, EngineSpeed] = {
    "native": EngineSpeed(3e-4, False),
    "transformers": EngineSpeed(6e-4, True),
    "vllm": EngineSpeed(8e-5, True),
}

# CPU seconds to grade one response: mathematics, and programs with their unit tests (by the benchmark's published name)
GRADING_S = 0.02
PROGRAM_S: Mapping[str, float] = {"livecodebench": 10.0, "bigcodebench": 5.0, "humaneval": 1.0}


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Numbers that decide the estimate and that only a run can measure. `intro plan` prints all of them.

    The mean of a response's length includes the tail cut at the limit; the accuracy decides how many rollouts a filter
    keeps; the slack is waiting, loading, and moving weights between engines.
    """

    mean_tokens: float = _option("Assume this mean length of a response, in tokens. [default: a quarter of the limit]")
    prompt_tokens: float = _option("Assume this length of a prompt, in tokens. [default: 150; tiny world: 25]")
    gold_tokens: float = _option(
        "Assume this length of a gold rationale, in tokens. [default: 250, at most the mean length]"
    )
    accuracy: float = _option("Assume this share of correct rollouts, from 0 to 1. [default: 0.5]", 0.5)
    mfu: float = _option("Assume this share of peak FLOP/s in training. [default: 0.3]", 0.3)
    bandwidth_share: float = _option("Assume this share of the bandwidth in decoding. [default: 0.6]", 0.6)
    decode_share: float = _option("Assume this share of peak FLOP/s in decoding. [default: 0.4]", 0.4)
    slack: float = _option("Multiply all times by this factor. [default: 2.5 on GPUs, 1 on CPUs]", 1.0)


MEAN_SHARE = 0.25  # of the limit of a response
GPU_SLACK = 2.5  # two published GPU runs took 2.4 to 3.3 and 2.3 times the arithmetic: docs/cost.md


def assumptions(config: Config, **changes: float | None) -> Assumptions:
    """The defaults of a config, with the numbers given here replaced. Raises IntroError for an impossible one."""
    limit = config.training.max_response_tokens
    published = config.data.source == "hub"  # MATH's problems and solutions; those of the tiny world are one line
    mean = MEAN_SHARE * limit
    slack = GPU_SLACK if needs_gpus(config) else 1.0
    start = Assumptions(mean, 150 if published else 25, min(250, mean) if published else mean, slack=slack)
    chosen = replace(start, **{key: value for key, value in changes.items() if value is not None})
    for name in Assumptions.__slots__:
        option, value = f"--{name.replace('_', '-')}", getattr(chosen, name)
        if name.endswith("tokens") or name == "slack":
            if value < 1:
                raise IntroError(f"{option}: expected at least 1, found {value:g}")
        elif not 0 < value <= 1:
            raise IntroError(f"{option}: expected a share between 0 and 1, found {value:g}")
    if chosen.mean_tokens >= limit:
        raise IntroError(
            f"--mean-tokens: expected less than training.max_response_tokens ({limit}), found {chosen.mean_tokens:g}"
        )
    return chosen
