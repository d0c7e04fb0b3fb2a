"""The cost of each run, evaluation and check of a config on one kind of accelerator."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property

from intro.config import AnyMethod, Config, Hardware, HubData, TinyModel
from intro.cost.estimate import assumptions as assume
from intro.cost.estimate.assumptions import ENGINES, GRADING_S, PROGRAM_S, Accelerator, Assumptions
from intro.cost.estimate.memory import Load, peak, rows_at_once, width_of
from intro.cost.estimate.model_shape import ModelShape, checkpoint_shape, shape_of
from intro.cost.estimate.roofline import Lengths, Roofline, Spent
from intro.experiments import Cell, check_model, judge_folder, sweeps, training_runs
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


class Estimator:
    """Estimates each piece of a config's work. Raises IntroError for a checkpoint of unknown size."""

    def __init__(self, config: Config, accelerator: Accelerator, assumed: Assumptions) -> None:
        self.config, self.accelerator, self.assumed = config, accelerator, assumed
        self.prompt = round(assumed.prompt_tokens)
        self.lengths = Lengths.of(assumed.mean_tokens, config.training.max_response_tokens)
        self.answers = self.lengths_up_to(config.evaluation.max_response_tokens)

    @classmethod
    def of(cls, config: Config, memory_gb: float | None = None) -> Estimator:
        """With the defaults of the config. memory_gb: 1e9 bytes, instead of those of the accelerator."""
        accelerator = assume.accelerator(assume.default_accelerator(config), memory=memory_gb)
        return cls(config, accelerator, assume.assumptions(config))

    def lengths_up_to(self, limit: int) -> Lengths:
        """Of answers, which are about as long as rollouts: another limit cuts the tail elsewhere."""
        return Lengths.of(min(self.assumed.mean_tokens, 0.9 * limit), limit)

    @cached_property
    def shapes(self) -> dict[str, ModelShape]:
        return {name: shape_of(self.config, name) for name in self.config.models}

    def shape(self, model: str) -> ModelShape:
        check_model(self.config, model)
        return self.shapes[model]

    def hardware(self, model: str) -> Hardware:
        return self.config.models[model].hardware

    def weight_bytes(self, model: str) -> float:
        return width_of(self.hardware(model)) * self.shape(model).parameters

    def roofline(self, model: str) -> Roofline:
        return Roofline(self.shape(model), self.accelerator, self.assumed, width_of(self.hardware(model)))

    @property
    def steps(self) -> int:
        """Steps of one training run."""
        training = self.config.training
        return steps_of(self.config.data.train_problems, training.prompts_per_step, training.epochs)

    # ------------------------------------------------------------ generation

    def rows(self, model: str, resident: float, lengths: Lengths, batch: int) -> int:
        """Rows decoded at once beside `resident` bytes. Paged caches hold present tokens, others the longest row."""
        hardware = self.hardware(model)
        ahead = lengths.mean if ENGINES[hardware.engine].paged else lengths.limit
        free = self.accelerator.memory * 1e9 - resident
        return rows_at_once(self.shape(model), round(self.prompt + ahead), free, width_of(hardware), batch)

    def generate(self, model: str, rows: int, resident: float, lengths: Lengths, batch: int | None = None) -> Spent:
        """`rows` responses on one device, at most `batch` at a time (None: evaluation.batch)."""
        at_once = self.rows(model, resident, lengths, batch or self.config.evaluation.batch)
        engine = ENGINES[self.hardware(model).engine]
        return self.roofline(model).generate(rows, self.prompt, lengths, at_once, engine)

    def answer(self, model: str, rows: int, lengths: Lengths) -> Cost:
        """`rows` responses of a checkpoint on one device, which holds its weights and the caches."""
        spent = self.generate(model, rows, self.weight_bytes(model), lengths)
        return answered(rows * lengths.mean, spent)

    def grading_s(self, benchmark: str = "") -> float:
        """CPU seconds for one response. benchmark: the published name."""
        published = isinstance(self.config.data, HubData)
        return PROGRAM_S.get(benchmark, GRADING_S) if published else GRADING_S / 100

    # ------------------------------------------------------------ training

    def update_flops(self, model: str, method: AnyMethod) -> float:
        """One step of a method: scoring passes on all rationales, the update on those that its filter keeps."""
        training = self.config.training
        own = Signal.GOLD_RATIONALE not in method.needs
        rationales = training.prompts_per_step * (training.group_size if own else 1)
        length = self.assumed.mean_tokens if own else self.assumed.gold_tokens
        context = self.prompt + length
        forward = self.shape(model).forward_flops(rationales * context, rationales * length, context)
        passes = method.forward_passes
        backward = 2 + self.hardware(model).recompute  # in forward passes
        kept = kept_share(method, self.assumed.accuracy, training.group_size)
        return forward * (passes.before + kept * (passes.update + backward))

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

    def saved_bytes(self, model: str, method: AnyMethod) -> float:
        """The state that a run saves to resume from: weights, fp32 weights and moments, a moving average."""
        width = width_of(self.hardware(model))
        return (12 + width * (1 + self.load(model, method).averaged)) * self.shape(model).parameters

    def train(self, model: str, method: AnyMethod, keep_state: bool = True) -> Cost:
        """One training run with its curves. keep_state: whether the saved state counts."""
        training, ranks = self.config.training, self.hardware(model).processes
        at = peak(self.shape(model), self.load(model, method))
        resident = at.states + at.frozen
        update = self.roofline(model).whole(self.steps * self.update_flops(model, method))
        rollouts, made = 0, Spent()
        if Signal.GOLD_RATIONALE not in method.needs:
            rollouts = training.prompts_per_step * training.group_size
            share = -(-rollouts // ranks)
            batch = min(self.config.evaluation.batch, share)
            made = self.generate(model, share, resident, self.lengths, batch) * (self.steps * ranks)
        curves, curve_answers = self.curves(model, resident)
        state = self.saved_bytes(model, method) if keep_state else 0.0
        return Cost(
            runs=1,
            rollout_tokens=self.steps * rollouts * self.lengths.mean,
            evaluation_tokens=curve_answers * self.answers.mean,
            training_flops=update.flops,
            rollout_flops=made.flops,
            evaluation_flops=curves.flops,
            device_seconds=update.seconds + made.seconds + curves.seconds,
            grading_seconds=(self.steps * rollouts + curve_answers) * self.grading_s(),
            disk_bytes=self.weight_bytes(model) + state,
            state_bytes=state,
        )

    def curves(self, model: str, resident: float) -> tuple[Spent, int]:
        """All points of a run's curves, and their number of responses.

        A point answers three subsets, the last once more with the answer in the prompt, and takes the KL to the base.
        """
        training, ranks = self.config.training, self.hardware(model).processes
        points = 1 + -(-self.steps // training.eval_every)
        share = -(-training.curve_problems // ranks)
        batch = min(self.config.evaluation.batch, share)
        subsets = self.generate(model, share, resident, self.answers, batch) * (4 * ranks)
        context = self.prompt + self.answers.mean
        seen, read = training.curve_problems * context, training.curve_problems * self.answers.mean
        kl = self.roofline(model).whole(2 * self.shape(model).forward_flops(seen, read, context))
        return (subsets + kl) * points, points * 4 * training.curve_problems

    # ------------------------------------------------------------ pieces of work

    def base_model(self, model: str) -> Cost:
        """The base model on the disk, and its pretraining unless it is a published checkpoint."""
        cost, entry = Cost(disk_bytes=self.weight_bytes(model)), self.config.models[model]
        if not isinstance(entry, TinyModel):
            return cost
        settings = self.config.pretraining
        tokens = (entry.steps or settings.steps) * settings.batch * CORPUS_TOKENS
        spent = self.roofline(model).whole(3 * self.shape(model).forward_flops(tokens, context=CORPUS_TOKENS))
        return cost + Cost(training_flops=spent.flops, device_seconds=spent.seconds)

    def sweep(self, model: str, method: str) -> Cost:
        """One run of the learning-rate grid ("base": none) and its answers to the validation problems."""
        run = Cost() if method == "base" else self.train(model, self.config.all_methods[method])
        return run + self.answer(model, self.config.data.validation_problems, self.answers)

    def run(self, cell: Cell) -> Cost:
        """The training run of a cell. One that the grid has already trained adds only its weights."""
        training = self.config.training
        if (cell.model, cell.method) in sweeps(self.config) and cell.seed == training.train_seeds[0]:
            return Cost(disk_bytes=self.weight_bytes(cell.model))
        return self.train(cell.model, self.config.all_methods[cell.method], training.keep_states)

    def states_at_once(self) -> Cost:
        """States on the disk where finished runs delete theirs: the most of runs that share one node at a time."""
        sizes: dict[str, list[float]] = {}
        for cell in training_runs(self.config):
            saved = self.saved_bytes(cell.model, self.config.all_methods[cell.method])
            sizes.setdefault(cell.model, []).append(saved)
        most = 0.0
        for model, saved in sizes.items():
            gpus = self.hardware(model).gpus
            at_once = max(1, NODE_GPUS // gpus) if gpus else 1
            most = max(most, sum(sorted(saved, reverse=True)[:at_once]))
        return Cost(disk_bytes=most, state_bytes=most)

    def evaluate(self, model: str, suite: str) -> Cost:
        """All answers of a suite by one checkpoint, on one device."""
        cost = Cost(evaluations=1)
        for name in self.config.evaluation.suites[suite].benchmarks:
            benchmark = self.config.data.benchmarks[name]
            rows = benchmark.problems * benchmark.samples
            lengths = self.lengths_up_to(benchmark.max_response_tokens or self.config.evaluation.max_response_tokens)
            cost += self.answer(model, rows, lengths) + Cost(
                grading_seconds=rows * self.grading_s(benchmark.stands_for)
            )
        return cost + Cost(disk_bytes=cost.evaluation_tokens * TEXT_BYTES)

    @cached_property
    def judge_shape(self) -> ModelShape | None:
        verifier = self.config.verifier
        return verifier and checkpoint_shape(verifier.checkpoint, judge_folder(self.config))

    def judge_model(self) -> Cost:
        """The judge's weights on the disk."""
        return Cost(disk_bytes=width_of(self.config.verifier.hardware) * self.judge_shape.parameters)

    def judge(self, suite: str) -> Cost:
        """The judge's short replies to the correct responses of a suite; its weights are split over its GPUs."""
        config, verifier = self.config, self.config.verifier
        benchmarks = [config.data.benchmarks[name] for name in config.evaluation.suites[suite].benchmarks]
        rows = max(1, round(self.assumed.accuracy * sum(b.problems * b.samples for b in benchmarks)))
        width, devices = width_of(verifier.hardware), max(1, verifier.hardware.gpus)
        roofline = Roofline(self.judge_shape, self.accelerator, self.assumed, width, devices)
        read = round(2 * self.prompt + self.answers.mean)
        words = Lengths.of(max(0.9, 0.5 * verifier.max_response_tokens), verifier.max_response_tokens)
        spent = roofline.generate(rows, read, words, config.evaluation.batch, ENGINES[verifier.hardware.engine])
        return answered(rows * words.mean, spent)

    def posterior_check(self, model: str) -> Cost:
        """Rationales sampled for Bayes' rule, each scored under both prompts."""
        rows = self.config.posterior.problems * self.config.posterior.rationales
        context = self.prompt + self.answers.mean
        flops = 2 * self.shape(model).forward_flops(rows * context, rows * self.answers.mean, context)
        return self.answer(model, rows, self.answers) + answered(0.0, self.roofline(model).whole(flops))

    def update_check(self) -> Cost:
        """The update of each method of `cost`, timed in rounds on the same tokens; about four passes each."""
        check = self.config.cost
        forward = self.shape(check.model).forward_flops(check.tokens)
        spent = self.roofline(check.model).whole(4 * forward * len(check.methods) * (check.runs + 1))
        return Cost(training_flops=spent.flops, device_seconds=spent.seconds)


def answered(tokens: float, spent: Spent) -> Cost:
    """The cost of answers outside of training."""
    return Cost(evaluation_tokens=tokens, evaluation_flops=spent.flops, device_seconds=spent.seconds)


@cache
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
