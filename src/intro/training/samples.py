"""From problems to the rationales of one step: sampled and graded, or the data set's gold rationales."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from intro.config import Training
from intro.model.scoring import Rationale
from intro.model.tokenizer import ModelTokenizer, render
from intro.objectives import Objective, Posterior
from intro.rollout.base import Response, RolloutEngine
from intro.rollout.sampling import Sampling
from intro.tasks.registry import TaskSource
from intro.types import Problem, Signal


@dataclass(frozen=True, slots=True)
class Sample:
    """The rationales of one step on this rank: P prompts x G samples in row-major order."""

    rationales: list[Rationale]
    rewards: Tensor  # [P, G]
    truncated: Tensor  # [P, G] bool
    tokens: int  # of the responses
    entropy: float | None  # of the policy, nats, summed over sampled tokens; None where nothing was sampled


@dataclass(frozen=True, slots=True)
class Prompter:
    """Turns problems into token ids of prompts, with and without the answer."""

    tokenizer: ModelTokenizer
    templates: Mapping[str, str]
    source: TaskSource

    def question(self, problem: Problem) -> tuple[int, ...]:
        return self.named("question", problem)

    def named(self, template: str, problem: Problem, answer: str | None = None) -> tuple[int, ...]:
        (ids,) = self.tokenizer.prompts([render(self.templates[template], problem, answer)])
        return tuple(ids)

    def posterior(self, problem: Problem, posterior: Posterior) -> tuple[int, ...]:
        """The prompt x (+) y. Controls have a wrong answer, or the word for an unknown one, in place of y."""
        answer = problem.answer
        if posterior.answer != "gold":
            wrong = posterior.answer == "wrong"
            answer = self.source.wrong_answer(problem) if wrong else self.source.unknown_answer()
        return self.named(posterior.prompt, problem, answer)


def are_correct(responses: Sequence[Response], problems: Sequence[Problem], prompter: Prompter) -> list[bool]:
    """Whether each response answers its problem, in order. A truncated response can be correct."""
    texts = [prompter.tokenizer.decode(response.tokens) for response in responses]
    return [grade.correct for grade in prompter.source.grade_all(list(zip(texts, problems, strict=True)))]


def gold_sample(problems: Sequence[Problem], prompter: Prompter) -> Sample:
    """One rationale per prompt: the gold rationale z*, which ends in y, and the end token."""
    stop = prompter.tokenizer.stop[0]
    rationales = [
        Rationale(prompter.question(p), (*prompter.tokenizer.encode(p.rationale), stop), group)
        for group, p in enumerate(problems)
    ]
    shape = (len(problems), 1)
    tokens = sum(len(r.tokens) for r in rationales)
    return Sample(rationales, torch.ones(shape), torch.zeros(shape, dtype=torch.bool), tokens, None)


def own_sample(
    problems: Sequence[Problem],
    objective: Objective,
    prompter: Prompter,
    engine: RolloutEngine,
    settings: Training,
    generator: Generator,
) -> Sample:
    """G = `settings.group_size` rationales per prompt from the current policy (temperature 1, untruncated), graded."""
    group_size = settings.group_size
    repeated = [p for p in problems for _ in range(group_size)]
    prompts = {p.id: prompter.question(p) for p in problems}
    asked = [prompts[p.id] for p in repeated]
    responses = engine.generate(asked, Sampling(settings.max_response_tokens), generator)
    posterior = objective.posterior_source
    given = {p.id: prompter.posterior(p, posterior) for p in problems} if posterior else {}
    rationales = []
    for i, (problem, response) in enumerate(zip(repeated, responses, strict=True)):
        tokens, start = response.tokens, None
        if Signal.ANSWER_LOGPROB in objective.needs:
            tokens, start = end_in_answer(tokens, problem, prompter)
        group = i // group_size
        rationales.append(Rationale(prompts[problem.id], tokens, group, given.get(problem.id), start))
    shape = (len(problems), group_size)
    rewards = torch.tensor(are_correct(responses, repeated, prompter), dtype=torch.float32).view(shape)
    truncated = torch.tensor([r.truncated for r in responses], dtype=torch.bool).view(shape)
    entropy = sum(r.entropy * len(r.tokens) for r in responses)
    return Sample(rationales, rewards, truncated, sum(len(r.tokens) for r in responses), entropy)


def end_in_answer(tokens: tuple[int, ...], problem: Problem, prompter: Prompter) -> tuple[tuple[int, ...], int]:
    """Replace the answer at the end of z by the gold one; return the tokens and where the gold answer begins.

    LaTRO needs log pi(y | x, z).

    z is cut before its last answer marker; a rationale without a marker has one appended. The marker is searched in the
    text, since a tokenizer may merge its first or last characters with the text around it; tokens before it stay.
    """
    tokenizer, marker = prompter.tokenizer, prompter.source.answer_marker
    body = tuple(t for t in tokens if t not in tokenizer.stop)
    words = tokenizer.decode(body)
    before, found, _ = words.rpartition(marker)
    before = before if found else f"{words} " if words else ""
    kept = bisect_right(range(len(body)), len(before), key=lambda k: len(tokenizer.decode(body[: k + 1])))
    rest = before[len(tokenizer.decode(body[:kept])) :]
    z = (*body[:kept], *tokenizer.encode(rest + marker))
    return (*z, *tokenizer.encode(problem.answer + prompter.source.answer_end), tokenizer.stop[0]), len(z)
