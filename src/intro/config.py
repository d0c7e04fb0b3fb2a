"""The typed configuration: the only place that reads YAML. Unknown keys raise; a scale is one config file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from intro.types import IntroError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where available: ten times as fast
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$")]
Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]


class Record(BaseModel):
    # deferred: types are put together when the first config is read
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


# ---------------------------------------------------------------- data and models


class Benchmark(Record):
    stands_for: str
    problems: Count  # a published set that holds more gives a seeded choice of this many
    samples: Count = 1  # k of avg@k
    # instead of evaluation's, where a benchmark prescribes its own
    temperature: NonNegative | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_response_tokens: Count | None = None


class TinyWorldData(Record):
    source: Literal["tiny_world"]
    train_problems: Count
    validation_problems: Count
    corpus_documents: Count
    benchmarks: dict[Name, Benchmark]


class HubData(Record):
    """Published benchmarks, by the names that tasks/published/collections.py gives them."""

    source: Literal["hub"]
    train: Literal["math-3-to-5", "math-3-to-5-contaminated"] = "math-3-to-5"
    train_problems: Count  # compared with the number of rows of the set
    validation_problems: Annotated[int, Field(ge=0)]  # removed from the training set
    mirror: str | None = None  # folder with {collection}.jsonl instead of the Hub; INTRO_DATA_DIR comes first
    sample: bool = False  # the mirror holds a few rows of each set: published row counts are not checked
    lock: str  # file with the hash of each set as first fetched
    unsandboxed: bool = False  # run model-written programs even where there is no sandbox
    bigcodebench_python: str | None = None  # interpreter of the environment with BigCodeBench's libraries
    benchmarks: dict[Name, Benchmark]


Data = Annotated[TinyWorldData | HubData, Field(discriminator="source")]


class Pretraining(Record):
    corpus: Literal["clean", "bayes", "consistent"] = "clean"
    steps: Count
    batch: Count
    muon_lr: Positive
    adamw_lr: Positive
    # one base model each; training seeds start from them in turn
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]


class Serving(Record):
    """What generates, and on how many GPUs."""

    gpus: Annotated[int, Field(ge=0)] = 0  # 0: CPU
    dtype: Literal["float32", "bfloat16"] = "float32"
    engine: Literal["native", "transformers", "vllm"] = "native"  # of rollouts and evaluation
    cuda_graphs: bool = False  # the native engine replays its decode step on a GPU; experimental: never run on one


class Hardware(Serving):
    """The layout of a model's runs. It is part of the config, since rounding and random numbers depend on it."""

    processes: Count = 1  # data-parallel ranks of training; with GPUs, one for each
    zero: Literal[0, 1, 2, 3] = 0  # DeepSpeed's ZeRO stage; 0 is plain torch, one process, fp32
    offload: bool = False  # optimizer states to the host's memory
    kernels: Literal["torch", "triton"] = "torch"  # of the losses; triton is experimental: never run on a GPU
    recompute: bool = False  # activations in the backward pass: a fifth to a third more work, a fraction of the memory

    @model_validator(mode="after")
    def _consistent(self) -> Hardware:
        if self.gpus and self.processes != self.gpus:
            raise ValueError(f"one process per GPU: {self.gpus} GPUs want processes: {self.gpus}")
        if self.zero == 0 and (self.processes > 1 or self.dtype != "float32" or self.offload):
            raise ValueError("several processes, bfloat16 and offload need DeepSpeed: set zero to 1, 2 or 3")
        return self


class TinyModel(Record):
    """A model that is pretrained here."""

    stands_for: str
    hardware: Hardware = Hardware()
    architecture: Literal["qwen2", "qwen3"]
    hidden: Count
    layers: Count
    heads: Count
    kv_heads: Count
    intermediate: Count | None = None  # None: 4 x hidden
    steps: Count | None = None  # of pretraining, instead of the shared number


class Checkpoint(Record):
    """A published model."""

    stands_for: str
    hardware: Hardware = Hardware()
    checkpoint: str  # Hub id, or a folder when it starts with . or /
    revision: str | None = None  # commit of the Hub; None takes the newest and records which that was


def _kind(model: Any) -> str:
    given = model if isinstance(model, dict) else getattr(model, "model_fields_set", ())
    return "checkpoint" if "checkpoint" in given else "tiny"


Model = Annotated[Annotated[TinyModel, Tag("tiny")] | Annotated[Checkpoint, Tag("checkpoint")], Discriminator(_kind)]


# ---------------------------------------------------------------- methods

Normalisation = Literal["prompt", "rationale", "token", "sum"]


class Method(Record):
    """What every entry of `methods` has. A file of objectives/ adds a method's own options, and its loss.

    Two names of options mean the same in every method: `n` is what `ablation_n` varies, and `prompt` names a template.
    """

    label: str
    normalisation: Normalisation = "rationale"
    updates_per_rollout: Count = 1
    objective: str
    colour: Colour | None = None  # None: figures choose one

    def settings(self) -> dict[str, Any]:
        """What a training run depends on: all but what is only printed."""
        return self.model_dump(exclude={"label", "colour"})


class _AnyMethod:
    """The union of the methods in objectives/, distinguished by `objective`.

    It is looked up when the first config is read, not imported: objectives are built on this module.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        objectives = import_module("intro.objectives").OBJECTIVES
        return handler.generate_schema(Annotated[Union[*objectives.values()], Field(discriminator="objective")])


AnyMethod = Annotated[Method, _AnyMethod]


def _own(method: Method, option: str) -> list[Any]:
    """The value of an option that not every method has; an empty list where this one lacks it."""
    return [getattr(method, option)] if option in type(method).model_fields else []


class AblationN(Record):
    model: str
    method: str
    grid: list[Count]


class Controls(Record):
    model: str
    methods: dict[Name, AnyMethod] = {}


# ---------------------------------------------------------------- training and evaluation


class Training(Record):
    prompts_per_step: Count
    group_size: Count  # G
    epochs: Count = 1
    max_response_tokens: Count
    micro_batch_tokens: Count
    eval_every: Count
    curve_problems: Count = 96  # per subset of curves.csv
    checkpoint_every: Count = 20
    keep_states: bool = True  # of finished runs: equal runs of grid and protocols are then trained once
    learning_rates: list[Positive]
    sweep_models: list[str]
    protocols: list[Literal["paper", "tuned"]]
    train_seeds: list[int]
    betas: tuple[Share, Share] = (0.9, 0.95)
    weight_decay: NonNegative = 0.0
    gradient_clip: Positive = 1.0
    warmup: Share = 0.03
    tensorboard: bool = False


class Suite(Record):
    benchmarks: list[str]
    prompt: str = "question"  # a name in `prompts`
    models: list[str] | None = None  # None: all
    methods: list[str] | None = None


class Evaluation(Record):
    temperature: NonNegative
    top_p: Annotated[float, Field(gt=0, le=1)]
    max_response_tokens: Count
    batch: Count = 256
    resamples: Count = 2000
    hard: list[str]  # the `stands_for` names that make up "hard"
    suites: dict[Name, Suite]


class PosteriorCheck(Record):
    """True posterior by Bayes over sampled rationales against the estimated one."""

    models: list[str] = []
    problems: Count = 12
    rationales: Count = 1000  # sampled per problem
    enumerate_benchmark: str = "chain-2"
    enumerated: Count = 4  # problems small enough to enumerate
    floor: Share = 1e-5  # prefixes below this probability are left out of the enumeration


class Verifier(Record):
    """A judge model reads the rationales of the suites that Fig. 6 compares, where no program can verify them."""

    checkpoint: str
    revision: str | None = None
    hardware: Serving = Serving()
    python: str | None = None  # interpreter of another environment, where the engine needs one
    prompt: str  # with {question}, {answer} and {response}; the first word of the reply decides
    accepts: str = "yes"
    max_response_tokens: Count = 8


class CostCheck(Record):
    """The update measured on the same tokens; ratios are to `sft`, which must be among the methods."""

    model: str
    methods: list[str] = ["sft", "grpo", "intro"]
    tokens: Count = 4096
    runs: Count = 10


class Config(Record):
    scale: Name
    seed: int = 0
    results: str = "results"
    figures: str = "figures"
    reference: Name | None = None  # folder below results/reference to compare with, or to publish to
    data: Data
    models: dict[Name, Model]
    pretraining: Pretraining | None = None  # None: every model is a checkpoint
    prompts: dict[str, str]
    training: Training
    methods: dict[Name, AnyMethod]
    ablation_n: AblationN
    baseline: str | None = None  # what figures and controls set beside the method of ablation_n
    controls: Controls
    evaluation: Evaluation
    posterior: PosteriorCheck = PosteriorCheck()
    verifier: Verifier | None = None
    cost: CostCheck

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        def known(where: str, names: list[str], of: dict[str, Any] | set[str], what: str) -> None:
            for name in names:
                if name not in of:
                    raise ValueError(f"{where}: unknown {what} '{name}'; known are {', '.join(sorted(of))}")

        known("training.sweep_models", self.training.sweep_models, self.models, "model")
        known("ablation_n.model", [self.ablation_n.model], self.models, "model")
        known("ablation_n.method", [self.ablation_n.method], self.methods, "method")
        known("baseline", [self.baseline] if self.baseline else [], self.methods, "method")
        known("controls.model", [self.controls.model], self.models, "model")
        known("posterior.models", self.posterior.models, self.models, "model")
        known("cost.model", [self.cost.model], self.models, "model")
        known("cost.methods", ["sft", *self.cost.methods], self.methods, "method")
        for name, suite in self.evaluation.suites.items():
            where = f"evaluation.suites.{name}"
            known(f"{where}.benchmarks", suite.benchmarks, self.data.benchmarks, "benchmark")
            known(f"{where}.prompt", [suite.prompt], self.prompts, "prompt")
            known(f"{where}.models", suite.models or [], self.models, "model")
            known(f"{where}.methods", suite.methods or [], {"base", *self.all_methods}, "method")
        for name, method in self.all_methods.items():
            known(f"methods.{name}.prompt", _own(method, "prompt"), self.prompts, "prompt")
        tiny = [name for name, model in self.models.items() if isinstance(model, TinyModel)]
        if tiny and not (self.pretraining and isinstance(self.data, TinyWorldData)):
            raise ValueError(
                f"models.{tiny[0]}: a model that is pretrained here needs data.source tiny_world and pretraining; "
                "a published one has the key 'checkpoint'"
            )
        if not self.training.sweep_models and len(self.training.learning_rates) != 1:
            raise ValueError(
                "training.learning_rates: without training.sweep_models nothing chooses among several rates; "
                f"give one, found {len(self.training.learning_rates)}"
            )
        if not _own(self.methods[self.ablation_n.method], "n"):
            raise ValueError(f"ablation_n.method: '{self.ablation_n.method}' has no n; name a method with this option")
        return self

    @property
    def all_methods(self) -> dict[str, AnyMethod]:
        """Table methods, then one per n of the ablation (`intro-n1`), then the controls."""
        name, swept = self.ablation_n.method, self.methods[self.ablation_n.method]
        changes = {n: {"n": n, "label": f"{swept.label} n={n}", "colour": None} for n in self.ablation_n.grid}
        changes.pop(getattr(swept, "n", None), None)
        grid = {f"{name}-n{n}": swept.model_copy(update=change) for n, change in changes.items()}
        return {**self.methods, **grid, **self.controls.methods}

    @property
    def compared(self) -> list[str]:
        """The methods that figures compare: the baseline, where there is one, and the method of ablation_n."""
        return [*([self.baseline] if self.baseline else []), self.ablation_n.method]

    @property
    def problem_settings(self) -> dict[str, Any]:
        """What the problems depend on: not how they are sampled or graded."""
        data = self.data.model_dump(mode="json", exclude={"benchmarks", "unsandboxed", "bigcodebench_python"})
        return data | {"benchmarks": {name: b.problems for name, b in self.data.benchmarks.items()}}

    @property
    def results_dir(self) -> Path:
        return Path(self.results) / self.scale

    @property
    def figures_dir(self) -> Path:
        return Path(self.figures) / self.scale


# ---------------------------------------------------------------- reading


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge key by key, everything else replaces, null removes an entry."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return {key: value for key, value in merged.items() if value is not None}


def read(path: str | Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The plain mapping of a YAML file, after its `extends` (a path relative to the file) is merged below it.

    `above` are the files that extend this one. Raises IntroError when the file is not a config or extends in a circle.
    """
    path = Path(path)
    try:
        mapping = yaml.load(path.read_text(), LOADER)
    except FileNotFoundError:
        raise IntroError(f"{path}: no such config file; the ones that come with the project are in config/") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise IntroError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(mapping, dict):
        raise IntroError(f"{path}: expected a mapping of keys, found {type(mapping).__name__}; see config/README.md")
    return resolve(mapping, path.parent, (*above, path))


def resolve(mapping: dict[str, Any], folder: str | Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping laid over the file that its `extends` names, relative to `folder`; without one, itself."""
    mapping = dict(mapping)
    parent = mapping.pop("extends", None)
    if parent is None:
        return mapping
    where = above[-1] if above else "config"
    if not isinstance(parent, str):
        raise IntroError(f"{where}: extends: expected the name of one config file, found {parent!r}")
    path = Path(folder) / parent
    if path.resolve() in (file.resolve() for file in above):
        raise IntroError(f"{where}: extends: '{parent}' leads back to itself; take one of the links away")
    return _merge(read(path, above), mapping)


def parse(mapping: dict[str, Any], source: str = "config") -> Config:
    """Check a plain mapping. Raises IntroError with one sentence that names the first bad key."""
    try:
        return Config.model_validate(mapping)
    except ValidationError as error:
        raise IntroError(f"{source}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    # a union's tag shows up as a path element of its own, after the key that holds the union: leave it out
    where = {"data": 1, "models": 2, "methods": 2, "controls": 3}.get(path[0] if path else "")
    key = ".".join(part for i, part in enumerate(path) if i != where)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; config/README.md lists the known ones{more}"
    if first["type"] == "missing":
        return f"missing key '{key}'; config/README.md says what it means{more}"
    if first["type"] == "union_tag_invalid":
        what = f"{first['ctx']['discriminator']} '{first['ctx']['tag']}'".replace("'", "", 2)
        return f"{key}: unknown {what}; known are {first['ctx']['expected_tags']}{more}"
    message = first["msg"].removeprefix("Value error, ")
    found = "" if first["type"] == "value_error" else f", found {first['input']!r}"
    return f"{key + ': ' if key else ''}{message}{found}{more}"


def load(path: str | Path) -> Config:
    """Read and check one config file. Raises IntroError naming the file and the key."""
    return parse(read(path), str(path))


def schema() -> str:
    """The JSON schema of the config, as YAML."""
    return yaml.safe_dump(Config.model_json_schema(), sort_keys=False, allow_unicode=True)
