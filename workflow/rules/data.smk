rule make_data:
    input:
        sources("tasks/*.py"),
    output:
        expand(f"{RESULTS}/problems/{{name}}.jsonl", name=PROBLEMS),
    log:
        f"{RESULTS}/logs/make_data.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_data.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        settings=settings("seed", "data", "prompts")
        | {"corpus": CONFIG.pretraining and CONFIG.pretraining.corpus},
        config=SETTINGS,
    shell:
        "intro data --config {params.config} > {log} 2>&1"
