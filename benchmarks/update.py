"""The cost of an update as a ratio to an SFT step on the same tokens: `python benchmarks/update.py`.

On a CPU: width and vocabulary of Qwen2.5-1.5B, two of its layers, few tokens. Forward and backward passes are counted,
with the passes that a method needs before its loss; rollouts and the optimizer's step are not. The floor is the
arithmetic: (3 + passes without gradient) / 3.
"""

from __future__ import annotations

import copy
from functools import partial

from common import parser, report
from updates import OBJECTIVES, cross_entropy_step, model_of, sample_of

from intro.evaluation.step import Step
from intro.evaluation.timing import interleaved, machine, median_interval, paired
from intro.objectives import forward_passes


def main() -> None:
    arguments = parser("update", __doc__)
    arguments.add_argument("--shape", default="Qwen2.5-1.5B")
    arguments.add_argument("--layers", type=int, default=2, help="of the model (2)")
    arguments.add_argument("--prompts", type=int, default=2, help="with four rationales each (2)")
    arguments.add_argument("--response", type=int, default=12, help="tokens of a rationale (12)")
    given = arguments.parse_args()
    model = model_of(given.shape, layers=given.layers, device=given.device)
    sample = sample_of(given.prompts, 4, 16, given.response, model.config.vocab_size, given.seed)
    base = copy.deepcopy(model)
    steps = {name: Step(objective, sample, model, base) for name, objective in OBJECTIVES.items()}
    works = {**steps, "torch cross entropy": partial(cross_entropy_step, model, sample)}
    seconds = interleaved(works, given.rounds, device=given.device)
    ratios, about = paired(seconds, "sft"), machine(given.device)
    rows = []
    for name in works:
        floor = 1 + (forward_passes(OBJECTIVES[name]) - 1) / 3 if name in steps else None
        ratio = ratios[name]
        rows.append({
            "step": name, "ratio": ratio.median, "low": ratio.low, "high": ratio.high, "floor": floor,
            "seconds": median_interval(seconds[name]).median, "tokens": sample.tokens, "shape": given.shape,
            "layers": given.layers, "rounds": given.rounds, **about,
        })  # fmt: skip
    report(rows, given.out)


if __name__ == "__main__":
    main()
