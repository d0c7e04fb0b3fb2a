rule pretrain_base:
    input:
        corpus=f"{RESULTS}/problems/corpus.jsonl",
    output:
        model=directory(f"{RESULTS}/models/{{model}}/seed{{seed}}"),
    log:
        f"{RESULTS}/logs/pretrain/{{model}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain/{{model}}.seed{{seed}}.tsv"
    wildcard_constraints:
        model=any_of(model for model in CONFIG.models if model not in FETCHED),
    # the longest jobs, and everything waits for them
    priority: 100
    conda:
        "../envs/intro.yaml"
    threads: 1
    resources:
        mem_mb=1500,
    params:
        code=code_of("pretrain"),
        settings=lambda w: {
            "model": CONFIG.models[w.model].model_dump(
                mode="json", exclude={"stands_for"}
            ),
            # which base models there are is not part of one
            "pretraining": CONFIG.pretraining.model_dump(
                mode="json", exclude={"seeds"}
            ),
        },
        config=settings_file,
    shell:
        "intro pretrain --config {params.config} --model {wildcards.model} --seed {wildcards.seed}"
        " --threads {threads} > {log} 2>&1"


rule fetch_model:
    output:
        model=directory(f"{RESULTS}/models/{{model}}"),
    log:
        f"{RESULTS}/logs/fetch/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch/{{model}}.tsv"
    wildcard_constraints:
        model=any_of(FETCHED),
    priority: 100
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        settings=lambda w: CONFIG.models[w.model].model_dump(
            mode="json", include={"checkpoint", "revision"}
        ),
        config=settings_file,
    shell:
        "intro fetch --config {params.config} --model {wildcards.model} > {log} 2>&1"


rule fetch_verifier:
    output:
        model=directory(str(experiments.judge_folder(CONFIG))),
    log:
        f"{RESULTS}/logs/fetch/verifier.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch/verifier.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        settings=settings("verifier"),
        config=settings_file,
    shell:
        "intro fetch --config {params.config} --verifier > {log} 2>&1"
