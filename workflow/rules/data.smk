rule make_data:
    output:
        expand(f"{RESULTS}/problems/{{name}}.jsonl", name=PROBLEMS),
    log:
        f"{RESULTS}/logs/make_data.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_data.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        code=code_of("data"),
        settings=settings("seed")
        | {"data": CONFIG.problem_settings}
        # a corpus is written in the prompts' words
        | (
            {"corpus": CONFIG.pretraining.corpus, **settings("prompts")}
            if CONFIG.pretraining
            else {}
        ),
        config=settings_file,
    shell:
        "intro data --config {params.config} > {log} 2>&1"
