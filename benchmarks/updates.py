"""What the benchmarks of the update work on: models of published shapes with random weights, random rationales.

Needs torch, transformers and this package's update, none of its config or workflow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, Qwen2Config

from intro.lm.packing import run_packed
from intro.lm.scoring import Rationale, head_of
from intro.objectives import Objective, build
from intro.training.rollouts import Sample

# published: hidden, MLP, layers, heads, KV heads, vocabulary, tied head
SHAPES = {
    "Qwen2.5-1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen2.5-7B": (3584, 18_944, 28, 28, 4, 152_064, False),
    "small": (256, 512, 2, 4, 2, 4096, True),  # not published: what a CPU carries at any length
}
OBJECTIVES: dict[str, Objective] = {
    "sft": build("sft"),
    "intro": build("intro"),
    "exact intro": build("intro", n="infinite"),
    "grpo": build("grpo", updates_per_rollout=1),
}


def model_of(
    shape: str, *, layers: int | None = None, vocabulary: int | None = None, dtype: str = "float32", device: str = "cpu"
) -> nn.Module:
    """A causal LM of a published shape, its weights random; fewer layers or another vocabulary where given."""
    hidden, mlp, depth, heads, kv_heads, published, tied = SHAPES[shape]
    config = Qwen2Config(
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers or depth,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        vocab_size=vocabulary or published,
        tie_word_embeddings=tied,
        max_position_embeddings=32_768,
        rope_theta=1e6,
        bos_token_id=None,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    return model.eval()


def sample_of(prompts: int, group: int, prompt: int, response: int, vocabulary: int, seed: int = 0) -> Sample:
    """P prompts with G rationales each, all of them right: what the update of a step gets."""
    g = Generator().manual_seed(seed)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, vocabulary, (count,), generator=g).tolist())

    rationales = []
    for p in range(prompts):
        x, answer = tokens(prompt), tokens(8)  # x (+) y is eight tokens longer
        rationales += [Rationale(x, tokens(response), p, (*x, *answer)) for _ in range(group)]
    truncated = torch.zeros(prompts, group, dtype=torch.bool)
    return Sample(rationales, torch.ones(prompts, group), truncated, prompts * group * response, None)


def cross_entropy_step(model: nn.Module, sample: Sample) -> None:
    """SFT as one writes it by hand: all logits at once, torch's cross entropy."""
    rows = sample.rationales
    hidden = run_packed(model, [(*r.prompt, *r.tokens) for r in rows])
    _answers(model, rows, hidden).backward()
    model.zero_grad(set_to_none=True)


def _answers(model: nn.Module, rows: Sequence[Rationale], hidden: torch.Tensor) -> torch.Tensor:
    start, places, tokens = 0, [], []
    for r in rows:
        places += range(start + len(r.prompt) - 1, start + len(r.prompt) + len(r.tokens) - 1)
        tokens += r.tokens
        start += len(r.prompt) + len(r.tokens)
    at = torch.tensor(places, device=hidden.device)
    return F.cross_entropy(F.linear(hidden[at], head_of(model)).float(), torch.tensor(tokens, device=hidden.device))


def naive_intro(model: nn.Module, sample: Sample, n: int = 5, clip: float = 200.0) -> None:
    """Eq. 7 as one writes it by hand: both distributions whole, a tensor [N, V] for each step of the formula."""
    rows = sample.rationales
    width = [len(r.prompt) + len(r.tokens) for r in rows]
    hidden = run_packed(model, [(*r.prompt, *r.tokens) for r in rows]).split(width)
    logp = _responses(model, rows, hidden, [len(r.prompt) for r in rows])
    with torch.no_grad():
        told = run_packed(model, [(*r.posterior_prompt, *r.tokens) for r in rows])
        told = told.split([len(r.posterior_prompt) + len(r.tokens) for r in rows])
        log_told = _responses(model, rows, told, [len(r.posterior_prompt) for r in rows])
        w = (log_told - logp).exp().clamp(max=clip)
        own = torch.tensor([t for r in rows for t in r.tokens], device=logp.device)[:, None]
        drawn = torch.multinomial(logp.exp(), n - 1, replacement=True)
        columns = torch.cat([own, drawn], 1)
    (-(w.gather(1, columns) * logp.gather(1, columns)).mean()).backward()
    model.zero_grad(set_to_none=True)


def _responses(model: nn.Module, rows: Sequence[Rationale], hidden: Sequence[torch.Tensor], prompts: Sequence[int]):
    kept = torch.cat([h[p - 1 : p - 1 + len(r.tokens)] for h, p, r in zip(hidden, prompts, rows, strict=True)])
    return F.linear(kept, head_of(model)).float().log_softmax(-1)
