COMPARISON = expand(
    RESULTS + "/compare/{name}.csv", name=["main", "ood", "ablation_n", "audit", "claims_grid"]
) + [f"{RESULTS}/claims.csv", f"{RESULTS}/claims.md"]


rule compare:
    output:
        COMPARISON,
    input:
        expand(RESULTS + "/{name}", name=["verdicts.csv.gz", "scores.csv", "metrics.csv", "curves.csv"]),
        expand(RESULTS + "/{name}", name=["grid_verdicts.csv.gz", "posterior.csv", "cost.csv", "protocol.json"]),
        TABLES,
        reported=["workflow/reported/reported.csv", "workflow/reported/benchmarks.csv"],
        reference=sorted(str(p) for p in Path("results/reference").glob(f"{CONFIG.reference}/tables/*.csv")),
        code=sources("analysis/*.py"),
    params:
        settings=settings("models", "methods", "ablation_n", "evaluation", "training", "reference"),
        config=SETTINGS,
    log:
        RESULTS + "/logs/compare.log",
    benchmark:
        RESULTS + "/benchmarks/compare.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro compare --config {params.config} > {log} 2>&1"
