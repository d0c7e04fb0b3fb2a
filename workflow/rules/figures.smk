from intro.sources import FIGURES as FIGURE_SOURCES


# one process draws them all: importing matplotlib takes longer than most of the drawing
rule figures:
    input:
        expand(
            f"{RESULTS}/{{name}}",
            name=[
                "graded_responses.csv.gz",
                "scores.csv",
                "metrics.csv",
                "curves.csv",
                "grid.csv",
            ],
        ),
        expand(f"{RESULTS}/{{name}}.csv", name=["posterior", "cost", "claims"]),
    output:
        [
            report(
                f"{PICTURES}/{name}.{ending}",
                caption=f"../report/{name}.rst",
                category="Figures",
                labels={"figure": name, "format": ending},
            )
            for name in FIGURE_SOURCES
            for ending in ("png", "pdf")
        ],
    log:
        f"{RESULTS}/logs/figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        code=code_of("figure"),
        settings=settings("models", "methods", "ablation_n", "controls", "evaluation"),
        config=settings_file,
    shell:
        "intro figure all --config {params.config} > {log} 2>&1"


FIGURES = expand(
    f"{PICTURES}/{{name}}.{{ending}}", name=FIGURE_SOURCES, ending=["pdf", "png"]
)
