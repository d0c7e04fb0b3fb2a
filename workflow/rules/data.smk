rule make_data:
    input:
        sources(*(n for n in training_code() if n.startswith("tasks/"))),
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
        settings=settings("seed")
        | {"data": CONFIG.problem_settings}
        # a corpus is written in the prompts' words
        | (
            {"corpus": CONFIG.pretraining.corpus, **settings("prompts")}
            if CONFIG.pretraining
            else {}
        ),
        config=SETTINGS,
    shell:
        "intro data --config {params.config} > {log} 2>&1"
