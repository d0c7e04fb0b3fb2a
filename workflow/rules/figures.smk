FIGURES = []

# one rule per figure, which needs the runs that it shows and no others
for figure in sources.FIGURES:

    rule:
        name:
            f"figure_{figure}"
        input:
            strings(sources.figure_sources(CONFIG, figure).files(CONFIG)),
        output:
            [
                report(
                    f"{PICTURES}/{figure}.{ending}",
                    caption=f"../report/{figure}.rst",
                    category="Figures",
                    labels={"figure": figure, "format": ending},
                )
                for ending in ("png", "pdf")
            ],
        log:
            f"{RESULTS}/logs/figures/{figure}.log",
        benchmark:
            f"{RESULTS}/benchmarks/figures/{figure}.tsv"
        conda:
            "../envs/intro.yaml"
        threads: 1
        params:
            code=code_of("figure"),
            settings=settings(
                "models",
                "methods",
                "ablation_n",
                "baseline",
                "controls",
                "evaluation",
            ),
            config=settings_file,
            figure=figure,
        shell:
            "intro figure {params.figure} --config {params.config} > {log} 2>&1"

    FIGURES += [f"{PICTURES}/{figure}.{ending}" for ending in ("png", "pdf")]


rule figures:
    input:
        FIGURES,
