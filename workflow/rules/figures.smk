# one process draws them all: importing matplotlib takes longer than most of the drawing
rule figures:
    output:
        [
            report(
                f"{PICTURES}/{name}.{ending}",
                caption=f"../report/{name}.rst",
                category="Figures",
                labels={"figure": name, "format": ending},
            )
            for name in plan.FIGURES
            for ending in ("png", "pdf")
        ],
    input:
        expand(RESULTS + "/{name}", name=["verdicts.csv.gz", "scores.csv", "metrics.csv", "curves.csv", "grid.csv"]),
        expand(RESULTS + "/{name}.csv", name=["posterior", "cost", "claims"]),
        code=sources("analysis/figures/*.py", "analysis/style.py"),
    params:
        settings=settings("models", "methods", "ablation_n", "controls", "evaluation"),
        config=SETTINGS,
    log:
        RESULTS + "/logs/figures.log",
    benchmark:
        RESULTS + "/benchmarks/figures.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro figure all --config {params.config} > {log} 2>&1"


FIGURES = expand(PICTURES + "/{name}.{ending}", name=plan.FIGURES, ending=["pdf", "png"])
