"""The cost of each run, evaluation and check of a config on one kind of accelerator, and their sum for each target."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cache, cached_property, partial

from intro import experiments
from intro.config import AnyMethod, Config, Hardware, HubData, TinyModel
from intro.cost.estimate import assumptions as assume
from intro.cost.estimate.arithmetic import Cost, Lengths, ModelShape, Roofline, Spent, checkpoint_shape, shape_of
from intro.cost.estimate.assumptions import GRADING_S, PROGRAM_S, Accelerator, Assumptions
from intro.cost.estimate.memory import Load, peak
from intro.experiments import Cell
from intro.training.schedule import steps_of
from intro.types import Signal

TEXT_BYTES = 5  # of a stored response, per token
CORPUS_TOKENS = 80  # of a document of the tiny world
NODE_GPUS = 8  # of one machine


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
        return cls(config, assume.accelerator(config, memory=memory_gb), assume.assumptions(config))

    def lengths_up_to(self, limit: int) -> Lengths:
        """Of answers, which are about as long as rollouts: another limit cuts the tail elsewhere."""
        return Lengths.of(min(self.assumed.mean_tokens, 0.9 * limit), limit)

    @cached_property
    def shapes(self) -> dict[str, ModelShape]:
        return {name: shape_of(self.config, name) for name in self.config.models}

    @cached_property
    def judge_roofline(self) -> Roofline:
        """The judge model, whose weights are split over its GPUs."""
        judge = self.config.verifier
        shape = checkpoint_shape(judge.checkpoint, experiments.judge_folder(self.config))
        return Roofline(shape, judge.hardware, self.accelerator, self.assumed, max(1, judge.hardware.gpus))

    def hardware(self, model: str) -> Hardware:
        return self.config.models[model].hardware

    def roofline(self, model: str) -> Roofline:
        return Roofline(self.shapes[model], self.hardware(model), self.accelerator, self.assumed)

    @property
    def steps(self) -> int:
        """Steps of one training run."""
        training = self.config.training
        return steps_of(self.config.data.train_problems, training.prompts_per_step, training.epochs)

    # ------------------------------------------------------------ generation

    def answer(self, model: str, rows: int, lengths: Lengths) -> Spent:
        """`rows` responses of a checkpoint on one device, which holds its weights and the caches."""
        roofline, batch = self.roofline(model), self.config.evaluation.batch
        at_once = roofline.rows(self.prompt, lengths, roofline.weight_bytes, batch)
        return roofline.generate(rows, self.prompt, lengths, at_once)

    def sample(self, model: str, rows: int, resident: float, lengths: Lengths) -> Spent:
        """`rows` responses during training: shared by the ranks, each of which holds `resident` bytes besides."""
        ranks = self.hardware(model).processes
        at_once = self.rows_at_once(model, rows, resident, lengths)
        return self.roofline(model).generate(-(-rows // ranks), self.prompt, lengths, at_once) * ranks

    def rows_at_once(self, model: str, rows: int, resident: float, lengths: Lengths) -> int:
        """Rows that each rank decodes at once."""
        batch = min(self.config.evaluation.batch, -(-rows // self.hardware(model).processes))
        return self.roofline(model).rows(self.prompt, lengths, resident, batch)

    def grading_s(self, benchmark: str = "") -> float:
        """CPU seconds for one response. benchmark: the published name."""
        published = isinstance(self.config.data, HubData)
        return PROGRAM_S.get(benchmark, GRADING_S) if published else GRADING_S / 100

    # ------------------------------------------------------------ training

    def methods(self, model: str) -> dict[str, AnyMethod]:
        """The methods that train this model."""
        cells = [cell for cell in experiments.training_runs(self.config) if cell.model == model]
        return {cell.method: self.config.all_methods[cell.method] for cell in cells}

    def update_flops(self, model: str, method: AnyMethod) -> float:
        """One step of a method: scoring passes on all rationales, the update on those that its filter keeps."""
        training = self.config.training
        own = Signal.GOLD_RATIONALE not in method.needs
        rationales = training.prompts_per_step * (training.group_size if own else 1)
        length = self.assumed.mean_tokens if own else self.assumed.gold_tokens
        context = self.prompt + length
        forward = self.shapes[model].forward_flops(rationales * context, rationales * length, context)
        passes = method.forward_passes
        backward = 2 + self.hardware(model).recompute  # in forward passes
        kept = kept_share(method, self.assumed.accuracy, training.group_size)
        return forward * (passes.before + kept * (passes.update + backward))

    def load(self, model: str, method: AnyMethod) -> Load:
        source, budget = method.posterior_source, self.config.training.micro_batch_tokens
        averaged, posterior = source is not None and source.network == "average", Signal.POSTERIOR in method.needs
        return Load(self.hardware(model), budget, self.prompt, self.lengths, self.answers, posterior, averaged)

    def saved_bytes(self, model: str, method: AnyMethod) -> float:
        """The state that a run saves to resume from: weights, fp32 weights and moments, a moving average."""
        weights = self.roofline(model).weight_bytes * (1 + self.load(model, method).averaged)
        return weights + 12 * self.shapes[model].parameters

    def train(self, model: str, method: AnyMethod, keep_state: bool = True) -> Cost:
        """One training run with its curves. keep_state: whether the saved state counts.

        A point of the curves answers three subsets, the last once more with the answer in the prompt, and takes the KL
        to the base model.
        """
        training, at = self.config.training, peak(self.shapes[model], self.load(model, method))
        resident = at.states + at.frozen
        own = Signal.GOLD_RATIONALE not in method.needs
        rollouts = training.prompts_per_step * training.group_size if own else 0
        points, asked = 1 + -(-self.steps // training.eval_every), training.curve_problems
        context = self.prompt + self.answers.mean
        kl = 2 * self.shapes[model].forward_flops(asked * context, asked * self.answers.mean, context)
        roofline = self.roofline(model)
        state = self.saved_bytes(model, method) if keep_state else 0.0
        return Cost(
            runs=1,
            training=roofline.whole(self.steps * self.update_flops(model, method)),
            rollouts=self.sample(model, rollouts, resident, self.lengths) * self.steps,
            evaluation=(self.sample(model, asked, resident, self.answers) * 4 + roofline.whole(kl)) * points,
            grading_seconds=(self.steps * rollouts + points * 4 * asked) * self.grading_s(),
            disk_bytes=roofline.weight_bytes + state,
            state_bytes=state,
        )

    # ------------------------------------------------------------ pieces of work

    def base_model(self, model: str) -> Cost:
        """The base model on the disk, and its pretraining unless it is a published checkpoint."""
        roofline, entry, settings = self.roofline(model), self.config.models[model], self.config.pretraining
        tokens = (entry.steps or settings.steps) * settings.batch * CORPUS_TOKENS if isinstance(entry, TinyModel) else 0
        flops = 3 * self.shapes[model].forward_flops(tokens, context=CORPUS_TOKENS)
        return Cost(training=roofline.whole(flops), disk_bytes=roofline.weight_bytes)

    def sweep(self, model: str, method: str) -> Cost:
        """One run of the learning-rate grid ("base": none) and its answers to the validation problems."""
        run = Cost() if method == "base" else self.train(model, self.config.all_methods[method])
        return run + Cost(evaluation=self.answer(model, self.config.data.validation_problems, self.answers))

    def run(self, cell: Cell) -> Cost:
        """The training run of a cell. One that the grid has already trained adds only its weights."""
        training = self.config.training
        if (cell.model, cell.method) in experiments.sweeps(self.config) and cell.seed == training.train_seeds[0]:
            return Cost(disk_bytes=self.roofline(cell.model).weight_bytes)
        return self.train(cell.model, self.config.all_methods[cell.method], training.keep_states)

    def states_at_once(self) -> Cost:
        """States on the disk where finished runs delete theirs: the most of runs that share one node at a time."""
        sizes: dict[str, list[float]] = {}
        for cell in experiments.training_runs(self.config):
            saved = self.saved_bytes(cell.model, self.config.all_methods[cell.method])
            sizes.setdefault(cell.model, []).append(saved)
        # runs at once: as many as fit a node, one where there are no GPUs
        most = {model: max(1, NODE_GPUS // (self.hardware(model).gpus or NODE_GPUS)) for model in sizes}
        held = max((sum(sorted(saved)[-most[model] :]) for model, saved in sizes.items()), default=0.0)
        return Cost(disk_bytes=held, state_bytes=held)

    def evaluate(self, model: str, suite: str) -> Cost:
        """All answers of a suite by one checkpoint, on one device."""
        evaluation, grading_s = Spent(), 0.0
        for name in self.config.evaluation.suites[suite].benchmarks:
            benchmark = self.config.data.benchmarks[name]
            rows = benchmark.problems * benchmark.samples
            limit = benchmark.max_response_tokens or self.config.evaluation.max_response_tokens
            evaluation += self.answer(model, rows, self.lengths_up_to(limit))
            grading_s += rows * self.grading_s(benchmark.stands_for)
        size = evaluation.tokens * TEXT_BYTES
        return Cost(evaluations=1, evaluation=evaluation, grading_seconds=grading_s, disk_bytes=size)

    def judge_model(self) -> Cost:
        """The judge's weights on the disk."""
        return Cost(disk_bytes=self.judge_roofline.weight_bytes)

    def judge(self, suite: str) -> Cost:
        """The judge's short replies to the correct responses of a suite."""
        config, limit = self.config, self.config.verifier.max_response_tokens
        benchmarks = [config.data.benchmarks[name] for name in config.evaluation.suites[suite].benchmarks]
        rows = max(1, round(self.assumed.accuracy * sum(b.problems * b.samples for b in benchmarks)))
        read, words = round(2 * self.prompt + self.answers.mean), Lengths.of(max(0.9, 0.5 * limit), limit)
        return Cost(evaluation=self.judge_roofline.generate(rows, read, words, config.evaluation.batch))

    def posterior_check(self, model: str) -> Cost:
        """Rationales sampled for Bayes' rule, each scored under both prompts."""
        rows = self.config.posterior.problems * self.config.posterior.rationales
        context = self.prompt + self.answers.mean
        flops = 2 * self.shapes[model].forward_flops(rows * context, rows * self.answers.mean, context)
        return Cost(evaluation=self.answer(model, rows, self.answers) + self.roofline(model).whole(flops))

    def update_check(self) -> Cost:
        """The update of each method of `cost`, timed in rounds on the same tokens; about four passes each."""
        check = self.config.cost
        flops = 4 * self.shapes[check.model].forward_flops(check.tokens) * len(check.methods) * (check.runs + 1)
        return Cost(training=self.roofline(check.model).whole(flops))


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


# ---------------------------------------------------------------- all of it

Work = tuple[str, Hashable, Callable[[], Cost]]  # target, key, and the function that estimates it


def targets(estimator: Estimator) -> dict[str, Cost]:
    """The cost of each table and figure, in the order of making them; shared work counts at the first of them."""
    costs: dict[str, Cost] = {}
    for target, cost in pieces(estimator).values():
        costs[target] = costs.get(target, Cost()) + cost()
    return costs


def pieces(estimator: Estimator) -> dict[Hashable, tuple[str, Callable[[], Cost]]]:
    """Key of each piece of work -> the first target that needs it, and the function that estimates it."""
    found: dict[Hashable, tuple[str, Callable[[], Cost]]] = {}
    for target, key, cost in work_by_target(estimator):
        found.setdefault(key, (target, cost))
    return found


def work_by_target(estimator: Estimator) -> Iterator[Work]:
    """Every target with all work that it needs: the experiment list of the config, and the checks beside it."""
    config = estimator.config

    def needs(name: str, evaluations: list[tuple[experiments.Cell, str]]) -> Iterator[Work]:
        runs = [cell for cell, _ in evaluations if cell.method != "base"]
        if runs and not config.training.keep_states:
            yield name, "states", estimator.states_at_once
        for cell in runs:
            yield name, ("train", cell), partial(estimator.run, cell)
        for cell, suite in evaluations:
            yield name, ("evaluate", cell, suite), partial(estimator.evaluate, cell.model, suite)

    for model, seed in experiments.base_models(config):
        yield "table_main_base", ("base", model, seed), partial(estimator.base_model, model)
    yield from needs("table_main_base", experiments.base_check_evaluations(config))
    for model, method in experiments.sweeps_and_bases(config):
        for rate in [None] if method == "base" else config.training.learning_rates:
            yield "learning_rate", ("sweep", model, method, rate), partial(estimator.sweep, model, method)
    for table in experiments.table_names(config):
        yield from needs(f"table_{table}", experiments.table_evaluations(config, table))
    judged = experiments.judged_evaluations(config)
    given = [(cell, suite) for cell, suite in experiments.evaluations(config) if suite == "answer_in_prompt"]
    yield from needs("answer_conditioning", judged or given)
    if config.verifier is not None:
        yield "answer_conditioning", "judge", estimator.judge_model
    for cell, suite in judged:
        yield "answer_conditioning", ("judge", cell, suite), partial(estimator.judge, suite)
    for model in config.posterior.models:
        yield "posterior", ("posterior", model), partial(estimator.posterior_check, model)
    yield "cost", "cost", estimator.update_check
    yield from needs("others", experiments.evaluations(config))
    for cell in experiments.training_runs(config):
        yield "others", ("train", cell), partial(estimator.run, cell)


def total(estimator: Estimator) -> Cost:
    return sum(targets(estimator).values(), Cost())
