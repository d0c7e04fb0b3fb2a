"""Every figure draws from a whole run, from a thin one and from nothing, always the same bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import whole_run
from intro.analysis.data.inputs import Inputs
from intro.analysis.figures import ablation, lines, palette, style
from intro.analysis.figures.build import DRAW
from intro.analysis.figures.build import figure as draw_from_runs
from intro.objectives import build
from intro.sources import FIGURES
from intro.types import IntroError


def figure(config, name):
    """Drawn from what `collect` gathered, which is what a synthetic run has."""
    return draw_from_runs(config, name, Inputs(config))


@pytest.fixture(scope="module")
def config(whole):
    return whole


@pytest.fixture(scope="module")
def inputs(config):
    return Inputs(config)


@pytest.mark.parametrize("name", FIGURES)
def test_draws_from_a_whole_run(name, inputs):
    with style.applied():
        drawn = DRAW[name](inputs)
    shown = [a for a in drawn.axes if a.axison]
    assert shown and not any("in this configuration" in t.get_text() for a in drawn.axes for t in a.texts)


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "overview"])
def test_axes_say_what_they_show(name, inputs):
    with style.applied():
        drawn = DRAW[name](inputs)
    words = [a.get_xlabel() + a.get_ylabel() + a.get_title(loc="left") for a in drawn.axes]
    words.append(drawn.get_supxlabel())
    assert any(unit in " ".join(words) for unit in ("%", "tokens", "nats", "SFT = 1"))


@pytest.mark.parametrize("name", FIGURES)
def test_says_so_when_nothing_was_run(name, tmp_path):
    paths = figure(whole_run.config(tmp_path), name)
    assert all(path.stat().st_size > 1000 for path in paths)


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    """One model, one n, one benchmark, InTRO and the yardstick of costs: as little as a config can ask for."""
    tiny = whole_run.config(tmp_path_factory.mktemp("ask"))
    folder = tmp_path_factory.mktemp("thin")
    return whole_run.write(
        folder,
        models={"qwen2-s": tiny.models["qwen2-s"].model_dump()},
        methods={"sft": {"objective": "sft", "label": "SFT"}, "intro": {"objective": "intro", "label": "InTRO"}},
        baseline=None,
        ablation_n={"model": "qwen2-s", "method": "intro", "grid": [5]},
        evaluation=tiny.evaluation.model_dump() | {"suites": {"main": {"benchmarks": ["chain-2"]}}},
        cost={"model": "qwen2-s", "methods": ["sft", "intro"]},
    )


@pytest.mark.parametrize("name", FIGURES)
def test_draws_what_there_is(name, thin):
    assert figure(thin, name)


@pytest.mark.parametrize("name", ["training_accuracy", "entropy_n", "ablation_n", "dynamics"])
def test_draws_seeds(name, three_seeds):
    assert figure(three_seeds, name)


@pytest.mark.parametrize(("seeds", "thin", "bands"), [(1, 0, 0), (3, 3, 0), (lines.MANY, 0, 1)])
def test_few_seeds_are_shown_themselves_and_many_as_a_band(seeds, thin, bands):
    rows = [{"train_seed": s, "step": t, "value": float(s + t)} for s in range(seeds) for t in range(4)]
    _, axes = style.blank()
    assert lines.draw(axes[0, 0], pd.DataFrame(rows), "value", "#000000") == 3 + (seeds - 1) / 2
    assert len(axes[0, 0].lines) == 1 + thin and len(axes[0, 0].collections) == bands


def test_the_papers_gains_over_n_come_from_its_tables(inputs):
    gains = ablation.reported_gains(inputs, "Qwen2.5-1.5B")
    assert gains[5] == pytest.approx(24.9 - 22.7) and sorted(gains) == [1, 2, 5, 10, 20, 40]
    assert ablation.reported_gains(inputs, "Qwen3-8B") == {}


def test_heavy_tails_get_a_logarithmic_axis(tmp_path):
    made = whole_run.config(tmp_path)
    made.results_dir.mkdir(parents=True)
    kl = [0.1, 1.0, 1.2, 1.5, 90.0]
    frame = pd.DataFrame({"model": "qwen2-s", "estimate": "bayes", "problem": list("abcde"), "kl": kl})
    frame.to_csv(made.results_dir / "posterior.csv", index=False)
    assert DRAW["posterior"](Inputs(made)).axes[0].get_xscale() == "log"


def test_files_are_the_same_every_time(config):
    first = [path.read_bytes() for path in figure(config, "learning_rate")]
    again = [path.read_bytes() for path in figure(config, "learning_rate")]
    assert first == again
    assert not any(mark in data for data in first for mark in (b"CreationDate", b"Software", b"matplotlib"))


def test_an_unknown_figure_is_one_sentence(config):
    with pytest.raises(IntroError, match="no figure 'fig7'"):
        draw_from_runs(config, "fig7")


# ---------------------------------------------------------------- style


def nearest(colours):
    """The least distance between two of these colours."""
    rgb = [np.array(to_rgb(c)) for c in colours]
    return min(np.abs(a - b).sum() for i, a in enumerate(rgb) for b in rgb[:i])


def entry(objective):
    """A method of some other objective, without a colour."""
    return build("sft").model_copy(update={"objective": objective})


def test_methods_keep_their_colours_apart(config):
    """The configs' own colours, the ones that figures choose, and those of the base models."""
    assert nearest([style.colour(config, m) for m in ("base", *config.methods)]) > 0.3
    assert nearest([palette.OKABE_ITO["grey"], *palette.CYCLE]) > 0.3


def test_a_method_without_a_colour_takes_the_next_that_no_entry_names(config):
    more = {**config.methods, "a": entry("new"), "b": entry("newer")}
    found = style.colours(more)
    assert {name: found[name] for name in config.methods} == {n: m.colour for n, m in config.methods.items()}
    assert [found["a"], found["b"]] == [c for c in palette.CYCLE if c not in style.colours(config.methods).values()][:2]


def test_more_methods_than_colours_stay_apart():
    many = {str(i): entry(str(i)) for i in range(2 * len(palette.CYCLE))}
    assert nearest(style.colours(many).values()) > 0.1


def test_variants_take_tints_of_their_family(config):
    variants = [style.colour(config, m) for m in ("intro-wrong", "intro-frozen", "intro-n1")]
    assert len({*variants, config.methods["intro"].colour}) == 4


def test_spread_keeps_order_and_distance():
    moved = style.spread([3.0, 1.0, 1.1, 1.05], gap=0.5)
    assert np.argsort(moved).tolist() == [1, 3, 2, 0]
    assert np.diff(sorted(moved)).min() > 0.5 - 1e-6
    assert np.mean(moved) == pytest.approx(np.mean([3.0, 1.0, 1.1, 1.05]))
    assert style.spread([], gap=1.0) == []


def test_no_personal_matplotlibrc_leaks_in():
    import matplotlib

    matplotlib.rcParams["axes.facecolor"] = "red"
    with style.applied():
        assert matplotlib.rcParams["axes.facecolor"] == "white"
    matplotlib.rcdefaults()


def test_every_planned_figure_can_be_drawn():
    """The workflow asks for sources.FIGURES; a name without a drawing would fail at the end of a run."""
    assert set(DRAW) == set(FIGURES)


@pytest.mark.parametrize(("steps", "noisy", "drawn"), [(20, True, 2), (20, False, 1), (lines.NOISY, True, 1)])
def test_a_noisy_quantity_is_smoothed_over_what_was_logged_where_that_is_much(steps, noisy, drawn):
    """A single smoothed run has its logged values as a second line."""
    frame = pd.DataFrame({"train_seed": 0, "step": range(steps), "value": [float(t % 2) for t in range(steps)]})
    _, axes = style.blank()
    end = lines.draw(axes[0, 0], frame, "value", "#000000", noisy)
    assert len(axes[0, 0].lines) == drawn
    assert end == frame.value.iloc[-3 if drawn == 2 else -1 :].mean()


def test_smoothing_keeps_runs_apart():
    """Two flat runs stay where they are, and batch noise of one run leaves the other alone."""
    steps = np.arange(20)
    noisy = np.where(steps % 2, 1.0, -1.0)
    frame = pd.concat(
        [
            pd.DataFrame({"train_seed": 0, "step": steps, "value": 5.0}),
            pd.DataFrame({"train_seed": 1, "step": steps, "value": 50.0 + noisy}),
        ]
    ).sample(frac=1.0, random_state=0, ignore_index=True)
    smoothed = lines.smooth(frame, "value", lines.WINDOW)
    flat, calmed = (smoothed[smoothed.train_seed == seed].value for seed in (0, 1))
    assert (flat == 5.0).all()
    assert calmed.sub(50.0).abs().max() < 0.51 and len(smoothed) == 40
