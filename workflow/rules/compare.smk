COMPARISON = expand(
    f"{RESULTS}/compare/{{name}}.csv",
    name=["main", "ood", "ablation_n", "audit", "claims_grid"],
) + [f"{RESULTS}/claims.csv", f"{RESULTS}/claims.md"]


# the first check of an expensive scale: base models need no training and should agree with the paper
rule table_main_base:
    input:
        grades=suite_files("grades.jsonl", experiments.base_check_evaluations(CONFIG)),
        reported="workflow/reported/reported.csv",
    output:
        expand(f"{RESULTS}/tables/main_base.{{ending}}", ending=["csv", "md"]),
    log:
        f"{RESULTS}/logs/tables/main_base.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/main_base.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        code=code_of("base-check"),
        settings=settings("models", "evaluation"),
        config=settings_file,
    shell:
        "intro base-check --config {params.config} > {log} 2>&1"


rule compare:
    input:
        expand(
            f"{RESULTS}/{{name}}",
            name=[
                "graded_responses.csv.gz",
                "scores.csv",
                "metrics.csv",
                "curves.csv",
            ],
        ),
        expand(
            f"{RESULTS}/{{name}}",
            name=[
                "grid_graded_responses.csv.gz",
                "posterior.csv",
                "cost.csv",
                "learning_rates.json",
            ],
        ),
        TABLES,
        reported=["workflow/reported/reported.csv", "workflow/reported/benchmarks.csv"],
        reference=sorted(
            str(p)
            for p in Path(CONFIG.results, "reference").glob(
                f"{CONFIG.reference}/tables/*.csv"
            )
        ),
    output:
        COMPARISON,
    log:
        f"{RESULTS}/logs/compare.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        code=code_of("compare"),
        settings=settings(
            "models", "methods", "ablation_n", "evaluation", "training", "reference"
        ),
        config=settings_file,
    shell:
        "intro compare --config {params.config} > {log} 2>&1"


# everything that one model is trained on and asked, before the tables of all models
for model in CONFIG.models:

    rule:
        name:
            f"model_{model}"
        input:
            suite_files(
                "grades.jsonl",
                [
                    (cell, suite)
                    for cell, suite in experiments.evaluations(CONFIG)
                    if cell.model == model
                ],
            ),
