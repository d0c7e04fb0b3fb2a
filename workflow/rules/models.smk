rule pretrain_base:
    input:
        corpus=f"{RESULTS}/problems/corpus.jsonl",
        code=sources("training/pretrain.py", "lm/load.py"),
    output:
        model=directory(f"{RESULTS}/models/{{model}}"),
    log:
        f"{RESULTS}/logs/pretrain/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain/{{model}}.tsv"
    # the longest jobs, and everything waits for them
    priority: 100
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
    params:
        settings=lambda w: {
            "model": CONFIG.models[w.model].model_dump(
                mode="json", exclude={"stands_for"}
            ),
            "pretraining": CONFIG.pretraining.model_dump(mode="json"),
        },
        config=SETTINGS,
    shell:
        "intro pretrain --config {params.config} --model {wildcards.model} --threads {threads} > {log} 2>&1"
