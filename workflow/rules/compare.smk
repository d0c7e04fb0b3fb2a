COMPARISON = expand(
    f"{RESULTS}/compare/{{name}}.csv",
    name=["main", "ood", "ablation_n", "audit", "claims_grid"],
) + [f"{RESULTS}/claims.csv", f"{RESULTS}/claims.md"]


rule compare:
    input:
        expand(
            f"{RESULTS}/{{name}}",
            name=["verdicts.csv.gz", "scores.csv", "metrics.csv", "curves.csv"],
        ),
        expand(
            f"{RESULTS}/{{name}}",
            name=[
                "grid_verdicts.csv.gz",
                "posterior.csv",
                "cost.csv",
                "protocol.json",
            ],
        ),
        TABLES,
        reported=["workflow/reported/reported.csv", "workflow/reported/benchmarks.csv"],
        reference=sorted(
            str(p)
            for p in Path("results/reference").glob(f"{CONFIG.reference}/tables/*.csv")
        ),
        code=sources("analysis/*.py"),
    output:
        COMPARISON,
    log:
        f"{RESULTS}/logs/compare.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        settings=settings(
            "models", "methods", "ablation_n", "evaluation", "training", "reference"
        ),
        config=SETTINGS,
    shell:
        "intro compare --config {params.config} > {log} 2>&1"
