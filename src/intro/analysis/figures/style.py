"""The style of all figures: one typeface, one colour per method, deterministic files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, Formatter, NullLocator

from intro.analysis.figures.palette import CYCLE, OKABE_ITO
from intro.infra.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from intro.analysis.stats.intervals import Interval
    from intro.config import Config, Method

INK, SOFT, FAINT = "#222222", "#6b6b6b", "#e4e4e4"
KEY_PAD = 22  # points between axes and title that leave room for a key
WIDTH = 7.0  # inches: the text width of a two-column page

RC: dict[str, dict[str, Any]] = {  # group -> settings, as `matplotlib.rc` takes them
    "font": {"family": "DejaVu Sans", "size": 8},  # ships with matplotlib, so every machine draws the same glyphs
    "axes": {"titlesize": 8.5, "titleweight": "bold", "titlelocation": "left", "titlepad": 7, "labelsize": 8,
             "labelcolor": INK, "edgecolor": SOFT, "linewidth": 0.7, "axisbelow": True, "grid": True, "grid.axis": "y",
             "spines.top": False, "spines.right": False},
    "grid": {"color": FAINT, "linewidth": 0.7},
    "text": {"color": INK},
    "xtick": {"labelsize": 7.5, "color": SOFT, "labelcolor": INK, "major.size": 3},
    "ytick": {"labelsize": 7.5, "color": SOFT, "labelcolor": INK, "major.size": 0},
    "lines": {"linewidth": 1.7, "solid_capstyle": "round", "markersize": 4.5},
    "legend": {"frameon": False, "fontsize": 7.5, "handlelength": 1.4},
    "figure": {"facecolor": "white", "dpi": 100},
    "savefig": {"facecolor": "white", "dpi": 160},
    "pdf": {"fonttype": 42},
    "svg": {"hashsalt": "intro"},
}  # fmt: skip


@contextmanager
def applied() -> Iterator[None]:
    """Draw inside this: matplotlib's defaults first, so that no personal matplotlibrc leaks in."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for group, settings in RC.items():
            matplotlib.rc(group, **settings)
        yield


def blank(
    columns: int = 1, rows: int = 1, height: float = 2.6, width: float = WIDTH, **axes: Any
) -> tuple[Figure, Any]:
    """A figure and its axes (always a 2-d array), without pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **axes)


def nothing(reason: str) -> Figure:
    """A figure with a sentence, where the config makes none of the inputs."""
    figure, axes = blank(height=1.1)
    axes[0, 0].axis("off")
    axes[0, 0].text(0.5, 0.5, reason, ha="center", va="center", color=SOFT, style="italic")
    return figure


# ---------------------------------------------------------------- colours and words


def colour(config: Config, method: str) -> str:
    """A method's colour, the same in every figure; grey for base models and for what the config does not have."""
    return colours(config.all_methods).get(method, OKABE_ITO["grey"])


def colours(methods: Mapping[str, Method]) -> dict[str, str]:
    """The colours that entries name; for others a tint of the first method with the same objective, if it has one.

    The first of an objective takes the next colour of CYCLE that no entry names, over again in a darker shade.
    """
    chosen = {name: method.colour for name, method in methods.items() if method.colour}
    turns = ([*CYCLE] if turn == 0 else [shade(c, 0.45) for c in CYCLE] for turn in count())
    free = (c for turn in turns for c in turn if c not in chosen.values())
    families: dict[str, list[str]] = {}
    for name, method in methods.items():
        families.setdefault(method.objective, []).append(name)
    for names in families.values():
        if not any(name in chosen for name in names):
            chosen[names[0]] = next(free)
        family = next(chosen[name] for name in names if name in chosen)
        others = [name for name in names if name not in chosen]
        for place, name in enumerate(others):
            chosen[name] = tint(family, 0.2 + 0.5 * place / max(len(others) - 1, 1))
    return chosen


def tint(colour: str, amount: float) -> str:
    """Towards white by `amount` in 0..1."""
    return to_hex([c + (1 - c) * amount for c in to_rgb(colour)])


def shade(colour: str, amount: float) -> str:
    """Towards black by `amount` in 0..1."""
    return to_hex([c * (1 - amount) for c in to_rgb(colour)])


def ramp(count: int, colour: str) -> list[str]:
    """`count` ordered steps of one hue, light to dark: for a grid of n."""
    places = [i / max(count - 1, 1) for i in range(count)]
    return [tint(colour, 0.5 - p) if p < 0.5 else shade(colour, 0.9 * (p - 0.5)) for p in places]


def label(config: Config, method: str) -> str:
    if method == "base":
        return "Base"
    return config.all_methods[method].label if method in config.all_methods else method


def stands_for(config: Config, model: str) -> str:
    return config.models[model].stands_for if model in config.models else model


def model_title(config: Config, model: str) -> str:
    return f"{model}, for {stands_for(config, model)}"


def model_name(config: Config, model: str, between: str = "\n") -> str:
    """A model and, on a second line after `between`, the paper's that it stands for."""
    paper = stands_for(config, model)
    return model if model == paper else f"{model}{between}{paper}"


# ---------------------------------------------------------------- panels


def horizontal(axes: Axes) -> None:
    """For rows of dots or bars: vertical grid lines and no line at the left."""
    axes.grid(axis="x")
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def log_axis(axes: Axes, ticks: list[float], formatter: Formatter) -> None:
    """A logarithmic x axis with these ticks alone."""
    axes.set_xscale("log")
    axes.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator(), major_formatter=formatter)


def errors(intervals: Sequence[Interval]) -> np.ndarray:
    """Distances [2, count] down and up from the value, as matplotlib's errorbar takes them."""
    ends = [(max(i.value - i.low, 0.0), max(i.high - i.value, 0.0)) for i in intervals]
    return np.transpose(ends)


def dot(axes: Axes, mean: Interval, y: float, ink: str, size: float = 5.5, line: float = 1.4) -> None:
    """A value with its interval as a horizontal whisker."""
    axes.errorbar(mean.value, y, xerr=errors([mean]), fmt="o", ms=size, color=ink, elinewidth=line)


# ---------------------------------------------------------------- direct labels


def spread(places: list[float], gap: float) -> list[float]:
    """Move label heights apart until neighbours are `gap` apart, keeping their order and their mean."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = [places[i] for i in order]
    for _ in range(200):
        clash = [(i, gap - (b - a)) for i, (a, b) in enumerate(pairwise(moved)) if b - a < gap - 1e-9]
        for i, lack in clash:
            moved[i] -= lack / 2
            moved[i + 1] += lack / 2
        if not clash:
            break
    return [height for _, height in sorted(zip(order, moved, strict=True))]


def end_labels(axes: Axes, ends: list[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Name lines beside the right edge instead of in a legend: `ends` holds (y, text, colour)."""
    low, high = axes.get_ylim()
    heights = spread([y for y, _, _ in ends], gap * (high - low))
    for (_, text, ink), height in zip(ends, heights, strict=True):
        axes.annotate(
            text, (1, height), xytext=(4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            color=ink, fontsize=7.5, fontweight="bold", va="center", annotation_clip=False,
        )  # fmt: skip


def key(axes: Axes, words: list[tuple[str, str]]) -> None:
    """Coloured words (text, colour) in one line above the axes; call after a title with `pad=KEY_PAD`."""
    x = 0.0
    for text, ink in words:
        axes.annotate(f"● {text}", (0, 1), (x, 5), xycoords="axes fraction", textcoords="offset points", color=ink,
                      fontsize=7.5, fontweight="bold")  # fmt: skip
        x += 7.5 * (1.95 + 0.72 * len(text))


# ---------------------------------------------------------------- files


def save(figure: Figure, path: Path) -> None:
    """Write `path`.pdf and `path`.png without dates or version marks, renamed in last."""
    bare = {"pdf": {"CreationDate": None, "Producer": None, "Creator": None}, "png": {"Software": None}}
    for suffix, metadata in bare.items():
        with atomic_file(path.with_name(f"{path.name}.{suffix}")) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata)
