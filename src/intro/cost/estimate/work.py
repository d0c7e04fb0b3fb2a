"""What each piece of a config's work takes: a training run, an evaluation, the judge, and the smaller checks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from intro import experiments
from intro.config import AnyMethod, Config, Hardware, HubData, TinyModel
from intro.cost.estimate.assumptions import (
    ENGINES,
    GRADING_S,
    PROGRAM_S,
    Accelerator,
    Assumptions,
    accelerator,
    assumptions,
    default_accelerator,
)  # fmt: skip
from intro.cost.estimate.memory import Load, peak, rows_at_once, width_of
from intro.cost.estimate.roofline import Lengths, Roofline, Spent
from intro.cost.estimate.shapes import Shape, checkpoint_shape, shape_of
from intro.training.schedule import steps_of
from intro.types import Signal

TEXT_BYTES = 5  # of a stored response, per token
CORPUS_TOKENS = 80  # of a document of the tiny world
NODE_GPUS = 8  # of one machine


@dataclass(frozen=True, slots=True)
class Cost:
    """What some work takes. Seconds are device-seconds: eight GPUs for an hour are eight hours."""

    runs: int = 0
    evaluations: int = 0
    rollout_tokens: float = 0.0
    evaluation_tokens: float = 0.0
    training_flops: float = 0.0
    rollout_flops: float = 0.0
    evaluation_flops: float = 0.0
    device_seconds: float = 0.0
    grading_seconds: float = 0.0  # of one CPU core
    disk_bytes: float = 0.0
    state_bytes: float = 0.0  # the part of the disk that only serves to resume

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Planner:
    """Prices each piece of a config's work on one kind of accelerator."""

    def __init__(self, config: Config, accelerator: Accelerator, assumed: Assumptions) -> None:
        self.config, self.accelerator, self.assumed = config, accelerator, assumed
        training, evaluation = config.training, config.evaluation
        self.prompt = round(assumed.prompt_tokens)
        self.lengths = Lengths.of(assumed.mean_tokens, training.max_response_tokens)
        self.answers = Lengths.of(self._mean(evaluation.max_response_tokens), evaluation.max_response_tokens)
        self._shapes: dict[str, Shape] = {}
        self._kept: dict[AnyMethod, float] = {}

    @classmethod
    def of(cls, config: Config, memory_gb: float | None = None) -> Planner:
        """With the defaults of the config; memory_gb replaces the accelerator's memory in 1e9 bytes."""
        return cls(config, accelerator(default_accelerator(config), memory=memory_gb), assumptions(config))

    def _mean(self, limit: int) -> float:
        """Answers are about as long as rollouts: another limit cuts the tail elsewhere."""
        return min(self.assumed.mean_tokens, 0.9 * limit)

    def shape(self, model: str) -> Shape:
        if model not in self._shapes:
            self._shapes[model] = shape_of(self.config, model)
        return self._shapes[model]

    def hardware(self, model: str) -> Hardware:
        return self.config.models[model].hardware

    @property
    def steps(self) -> int:
        training = self.config.training
        return steps_of(self.config.data.train_problems, training.prompts_per_step, training.epochs)

    # ------------------------------------------------------------ pieces of work

    def roofline(self, model: str, devices: int = 1) -> Roofline:
        return Roofline(self.shape(model), self.accelerator, self.assumed, width_of(self.hardware(model)), devices)

    def rows(self, model: str, resident: float, lengths: Lengths, batch: int) -> int:
        """Rows decoded at once beside `resident` bytes. Paged caches hold what is there, others the longest row."""
        hardware, shape = self.hardware(model), self.shape(model)
        ahead = lengths.mean if ENGINES[hardware.engine].paged else lengths.limit
        free = self.accelerator.memory * 1e9 - resident
        return rows_at_once(shape, round(self.prompt + ahead), free, width_of(hardware), batch)

    def generated(self, model: str, rows: int, at_once: int, lengths: Lengths) -> Spent:
        engine = ENGINES[self.hardware(model).engine]
        return self.roofline(model).generate(rows, self.prompt, lengths, at_once, engine)

    def update_flops(self, model: str, method: AnyMethod) -> float:
        """One step of a method: the passes that its signals need on all rationales, the update on those it keeps."""
        training, shape = self.config.training, self.shape(model)
        own = Signal.GOLD_RATIONALE not in method.needs
        rationales = training.prompts_per_step * (training.group_size if own else 1)
        length = self.assumed.mean_tokens if own else self.assumed.gold_tokens
        context = self.prompt + length
        forward = shape.forward_flops(rationales * context, rationales * length, context)
        passes = method.forward_passes
        backward = 2 + self.hardware(model).recompute  # in forward passes
        return forward * (passes.before + self.kept(method) * (passes.update + backward))

    def kept(self, method: AnyMethod) -> float:
        """The share of rationales that a method's filter keeps at the assumed accuracy: asked of the method itself."""
        if method not in self._kept:
            self._kept[method] = kept_share(method, self.assumed.accuracy, self.config.training.group_size)
        return self._kept[method]

    def train(self, model: str, method: AnyMethod, kept: bool = True) -> Cost:
        """One training run, its curves included; `kept` counts the state that it leaves behind."""
        training, hardware = self.config.training, self.hardware(model)
        shape, roofline, steps = self.shape(model), self.roofline(model), self.steps
        width, load = width_of(hardware), self.load(model, method)
        resident = peak(shape, load).states + peak(shape, load).frozen
        training_flops = steps * self.update_flops(model, method)
        spent = roofline.whole(training_flops)
        rollouts, tokens, grading, rollout_flops = 0, 0.0, 0.0, 0.0
        if Signal.GOLD_RATIONALE not in method.needs:
            rollouts = training.prompts_per_step * training.group_size
            share = -(-rollouts // hardware.processes)
            at_once = self.rows(model, resident, self.lengths, min(self.config.evaluation.batch, share))
            made = self.generated(model, share, at_once, self.lengths) * (steps * hardware.processes)
            spent, rollout_flops = spent + made, made.flops
            tokens = steps * rollouts * self.lengths.mean
            grading = steps * rollouts * self._grading_s()
        curves, answered = self._curves(model, resident)
        answer_tokens = answered * self.answers.mean
        final = width * shape.parameters
        states = self.saved(model, method) if kept else 0.0
        return Cost(
            runs=1,
            rollout_tokens=tokens,
            evaluation_tokens=answer_tokens,
            training_flops=training_flops,
            rollout_flops=rollout_flops,
            evaluation_flops=curves.flops,
            device_seconds=spent.seconds + curves.seconds,
            grading_seconds=grading + answered * self._grading_s(),
            disk_bytes=final + states,
            state_bytes=states,
        )

    def saved(self, model: str, method: AnyMethod) -> float:
        """Bytes of the state that a run saves to resume from: weights, fp32 masters and moments, a moving average."""
        width, parameters = width_of(self.hardware(model)), self.shape(model).parameters
        return (12 + width * (1 + self.load(model, method).averaged)) * parameters

    def states_at_once(self) -> Cost:
        """States on the disk where finished runs leave none: the most that runs sharing one node have at a time."""
        most, methods = 0.0, self.config.all_methods
        runs: dict[str, list[str]] = {}
        for cell in experiments.training_runs(self.config):
            runs.setdefault(cell.model, []).append(cell.method)
        for model, names in runs.items():
            gpus = self.hardware(model).gpus
            at_once = max(1, NODE_GPUS // gpus) if gpus else 1
            largest = sorted((self.saved(model, methods[name]) for name in names), reverse=True)
            most = max(most, sum(largest[:at_once]))
        return Cost(disk_bytes=most, state_bytes=most)

    def _curves(self, model: str, resident: float) -> tuple[Spent, int]:
        """Points of the curves over a whole run, and the responses that they take: three subsets, the last of them
        once more with the answer in the prompt, and the KL to the base on it."""
        training, steps, ranks = self.config.training, self.steps, self.hardware(model).processes
        points = 1 + steps // training.eval_every + (steps % training.eval_every > 0)
        rows = 4 * training.curve_problems
        batch = min(self.config.evaluation.batch, -(-training.curve_problems // ranks))
        at_once = self.rows(model, resident, self.answers, batch)
        part = self.generated(model, -(-training.curve_problems // ranks), at_once, self.answers) * (4 * ranks)
        context = self.prompt + self.answers.mean
        seen, read = training.curve_problems * context, training.curve_problems * self.answers.mean
        divergence = self.roofline(model).whole(2 * self.shape(model).forward_flops(seen, read, context))
        return (part + divergence) * points, points * rows

    def evaluate(self, model: str, suite: str) -> Cost:
        """All answers of a suite by one checkpoint, on one device."""
        config = self.config
        weights = width_of(self.hardware(model)) * self.shape(model).parameters
        spent, tokens, grading = Spent(), 0.0, 0.0
        for name in config.evaluation.suites[suite].benchmarks:
            benchmark = config.data.benchmarks[name]
            rows = benchmark.problems * benchmark.samples
            limit = benchmark.max_response_tokens or config.evaluation.max_response_tokens
            lengths = Lengths.of(self._mean(limit), limit)
            at_once = self.rows(model, weights, lengths, config.evaluation.batch)
            spent += self.generated(model, rows, at_once, lengths)
            tokens += rows * lengths.mean
            grading += rows * self._grading_s(benchmark.stands_for)
        return Cost(
            evaluations=1,
            evaluation_tokens=tokens,
            evaluation_flops=spent.flops,
            device_seconds=spent.seconds,
            grading_seconds=grading,
            disk_bytes=tokens * TEXT_BYTES,
        )

    def _grading_s(self, benchmark: str = "") -> float:
        published = isinstance(self.config.data, HubData)
        return PROGRAM_S.get(benchmark, GRADING_S) if published else GRADING_S / 100

    def sweep(self, model: str, method: str) -> Cost:
        return self.train(model, experiments.method_of(self.config, method)) + self.sweep_answers(model)

    def cell(self, cell: experiments.Cell) -> Cost:
        """A cell whose run is one of the grid's costs nothing more than its weights."""
        training, shape = self.config.training, self.shape(cell.model)
        if (cell.model, cell.method) in experiments.sweeps(self.config) and cell.seed == training.train_seeds[0]:
            return Cost(disk_bytes=width_of(self.hardware(cell.model)) * shape.parameters)
        return self.train(cell.model, experiments.method_of(self.config, cell.method), training.keep_states)

    def sweep_answers(self, model: str) -> Cost:
        """The validation problems, answered once."""
        rows = self.config.data.validation_problems
        weights = width_of(self.hardware(model)) * self.shape(model).parameters
        at_once = self.rows(model, weights, self.answers, self.config.evaluation.batch)
        spent = self.generated(model, rows, at_once, self.answers) if rows else Spent()
        tokens = rows * self.answers.mean
        return Cost(evaluation_tokens=tokens, evaluation_flops=spent.flops, device_seconds=spent.seconds)

    def base(self, model: str) -> Cost:
        """The base model on the disk, and its pretraining where that happens here."""
        shape, entry = self.shape(model), self.config.models[model]
        disk = width_of(self.hardware(model)) * shape.parameters
        if not isinstance(entry, TinyModel):
            return Cost(disk_bytes=disk)
        settings = self.config.pretraining
        tokens = (entry.steps or settings.steps) * settings.batch * CORPUS_TOKENS
        spent = self.roofline(model).whole(3 * shape.forward_flops(tokens, context=CORPUS_TOKENS))
        return Cost(training_flops=spent.flops, device_seconds=spent.seconds, disk_bytes=disk)

    @cached_property
    def judge_shape(self) -> Shape | None:
        verifier = self.config.verifier
        return verifier and checkpoint_shape(verifier.checkpoint, experiments.judge_folder(self.config))

    def judge(self, suite: str) -> Cost:
        """The judge reads each correct response of a suite and says a word; its weights are spread over its GPUs."""
        config, verifier, shape = self.config, self.config.verifier, self.judge_shape
        benchmarks = [config.data.benchmarks[name] for name in config.evaluation.suites[suite].benchmarks]
        rows = max(1, round(self.assumed.accuracy * sum(b.problems * b.samples for b in benchmarks)))
        width, devices = width_of(verifier.hardware), max(1, verifier.hardware.gpus)
        roofline = Roofline(shape, self.accelerator, self.assumed, width, devices)
        read = round(2 * self.prompt + self.answers.mean)
        words = Lengths.of(max(0.9, 0.5 * verifier.max_response_tokens), verifier.max_response_tokens)
        spent = roofline.generate(rows, read, words, config.evaluation.batch, ENGINES[verifier.hardware.engine])
        return Cost(evaluation_tokens=rows * words.mean, evaluation_flops=spent.flops, device_seconds=spent.seconds)

    def posterior_check(self, model: str) -> Cost:
        """Rationales sampled for Bayes' rule, each scored under both prompts."""
        check, shape = self.config.posterior, self.shape(model)
        rows = check.problems * check.rationales
        weights = width_of(self.hardware(model)) * shape.parameters
        at_once = self.rows(model, weights, self.answers, self.config.evaluation.batch)
        context = self.prompt + self.answers.mean
        scored = 2 * shape.forward_flops(rows * context, rows * self.answers.mean, context)
        spent = self.generated(model, rows, at_once, self.answers) + self.roofline(model).whole(scored)
        tokens = rows * self.answers.mean
        return Cost(evaluation_tokens=tokens, evaluation_flops=spent.flops, device_seconds=spent.seconds)

    def update_check(self) -> Cost:
        """The update of each method, timed in rounds on the same tokens."""
        check = self.config.cost
        forward = self.shape(check.model).forward_flops(check.tokens)
        spent = self.roofline(check.model).whole(4 * forward * len(check.methods) * (check.runs + 1))
        return Cost(training_flops=spent.flops, device_seconds=spent.seconds)

    # ------------------------------------------------------------ memory

    def load(self, model: str, method: AnyMethod) -> Load:
        source = method.posterior_source
        return Load(
            hardware=self.hardware(model),
            micro_batch_tokens=self.config.training.micro_batch_tokens,
            prompt=self.prompt,
            lengths=self.lengths,
            answers=self.answers,
            posterior=Signal.POSTERIOR in method.needs,
            averaged=source is not None and source.network == "average",
        )


def kept_share(method: AnyMethod, accuracy: float, group: int, prompts: int = 2000) -> float:
    """The share of rationales with credit, over prompts whose success rates spread from 0 to 1 about `accuracy`."""
    import torch

    from intro.types import Outcomes

    generator = torch.Generator().manual_seed(0)
    rates = torch.rand(prompts, 1, generator=generator) ** ((1 - accuracy) / accuracy)
    rewards = (torch.rand(prompts, group, generator=generator) < rates).float()
    zeros = torch.zeros_like(rewards)
    outcomes = Outcomes(rewards, zeros.bool(), zeros, zeros, zeros)
    return float(method.credit(outcomes).keep.float().mean())
