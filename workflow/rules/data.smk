rule make_data:
    output:
        expand(RESULTS + "/problems/{name}.jsonl", name=PROBLEMS),
    input:
        sources("tasks/*.py"),
    params:
        settings=settings("seed", "data", "prompts") | {"corpus": CONFIG.pretraining.corpus},
        config=SETTINGS,
    log:
        RESULTS + "/logs/make_data.log",
    benchmark:
        RESULTS + "/benchmarks/make_data.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro data --config {params.config} > {log} 2>&1"
