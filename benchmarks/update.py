"""The cost of an update as a ratio to an SFT step on the same tokens: `python benchmarks/update.py`.

On a CPU: width and vocabulary of Qwen2.5-1.5B, two of its layers, few tokens. Forward and backward passes are counted,
with the passes that a method needs before its loss; rollouts and the optimizer's step are not. The floor is the
arithmetic: (3 + passes without gradient) / 3. So few tokens fit into one chunk of logits, so the same steps are also
taken with chunks that are small enough to be several; a ratio is to SFT in chunks of the same size, that of torch's
cross entropy to SFT in chunks of the first.
"""

from __future__ import annotations

import copy
from functools import partial

from common import parser, report
from intro.cost.measure.step import Step
from intro.cost.measure.timing import interleaved, machine, median_interval, paired
from intro.model import chunked_loss as chunks
from updates import OBJECTIVES, cross_entropy_step, model_of, sample_of


def in_chunks(mib: int, step: Step) -> None:
    """The step with chunks of logits of so many 2^20 bytes."""
    chunks.CHUNK_BYTES = mib << 20
    step()


def main() -> None:
    arguments = parser("update", __doc__)
    arguments.add_argument("--shape", default="Qwen2.5-1.5B")
    arguments.add_argument("--layers", type=int, default=2, help="of the model (2)")
    arguments.add_argument("--prompts", type=int, default=2, help="with four rationales each (2)")
    arguments.add_argument("--response", type=int, default=12, help="tokens of a rationale (12)")
    sizes = "bytes of a chunk's logits, 2^20, one or several (512 16)"
    arguments.add_argument("--chunk-mib", type=int, nargs="+", default=[512, 16], help=sizes)
    given = arguments.parse_args()
    model = model_of(given.shape, layers=given.layers, device=given.device)
    sample = sample_of(given.prompts, 4, 16, given.response, model.config.vocab_size, given.seed)
    base = copy.deepcopy(model)
    steps = {name: Step(objective, sample, model, base) for name, objective in OBJECTIVES.items()}
    rows, works = {}, {}
    for mib in given.chunk_mib:
        for name, step in steps.items():
            floor = 1 + (OBJECTIVES[name].forward_passes.total - 1) / 3
            rows[f"{name}, {mib}"] = {"step": name, "chunk_mib": mib, "floor": floor}
            works[f"{name}, {mib}"] = partial(in_chunks, mib, step)
    by_torch = "torch cross entropy"  # one tensor of logits, whatever its size
    rows[by_torch] = {"step": by_torch, "chunk_mib": None, "floor": None}
    works[by_torch] = partial(cross_entropy_step, model, sample)
    seconds = interleaved(works, given.rounds, device=given.device)
    same = {"tokens": sample.tokens, "shape": given.shape, "layers": given.layers, "rounds": given.rounds}
    ratios, about = {mib: paired(seconds, f"sft, {mib}") for mib in given.chunk_mib}, machine(given.device)
    for label, row in rows.items():
        ratio = ratios[row["chunk_mib"] or given.chunk_mib[0]][label]
        row |= {"ratio": ratio.median, "low": ratio.low, "high": ratio.high}
        row |= {"seconds": median_interval(seconds[label]).median, **same, **about}
    report(list(rows.values()), given.out)


if __name__ == "__main__":
    main()
