"""Peak memory of an update as the vocabulary grows, the tokens being the same: `python benchmarks/memory.py`.

A small model with a head as wide as published ones are long. A chunk of logits is bounded in bytes, so ours stays flat
once one chunk does not hold all rows; the same losses written by hand, and TRL's distillation, hold tensors [N, V].
"""

from __future__ import annotations

import copy
from functools import partial

from common import needs_trl, parser, report
from intro.cost.measure.step import Step
from intro.cost.measure.timing import machine, peak_bytes
from intro.model import chunked_loss as chunks
from updates import OBJECTIVES, cross_entropy_step, model_of, naive_intro, sample_of, trl_grpo, trl_sdft

VOCABULARIES = (8192, 32_768, 151_936)


def main() -> None:
    arguments = parser("memory", __doc__, rounds=1)
    arguments.add_argument("--chunk-mib", type=int, default=64, help="bytes of a chunk's logits, 2^20 (64)")
    arguments.add_argument("--tokens", type=int, default=2048, help="of the responses (2048)")
    given = arguments.parse_args()
    needs_trl()
    chunks.CHUNK_BYTES = given.chunk_mib << 20
    rows = []
    for vocabulary in VOCABULARIES:
        model = model_of("small", vocabulary=vocabulary, device=given.device)
        sample, base = sample_of(4, 4, 16, given.tokens // 16, vocabulary, given.seed), copy.deepcopy(model)
        works = {name: Step(objective, sample, model, base) for name, objective in OBJECTIVES.items()}
        works |= {
            "sft by hand": partial(cross_entropy_step, model, sample),
            "intro by hand": partial(naive_intro, model, sample),
            "TRL, GRPO's head": partial(trl_grpo, model, sample),
            "TRL, SDFT's loss": partial(trl_sdft, model, sample),
        }
        for name, work in works.items():
            peak = peak_bytes(work, given.device)
            rows.append({
                "step": name, "vocabulary": vocabulary, "peak_mib": round(peak / 2**20),
                "of_logits": peak / (4 * sample.tokens * vocabulary), "chunk_mib": given.chunk_mib,
                "tokens": sample.tokens, "width": model.config.hidden_size, **machine(given.device),
            })  # fmt: skip
    report(rows, given.out)


if __name__ == "__main__":
    main()
