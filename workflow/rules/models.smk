rule pretrain_base:
    output:
        model=directory(RESULTS + "/models/{model}"),
    input:
        corpus=RESULTS + "/problems/corpus.jsonl",
        code=sources("training/pretrain.py", "lm/load.py"),
    params:
        settings=lambda w: {
            "model": CONFIG.models[w.model].model_dump(mode="json", exclude={"stands_for"}),
            "pretraining": CONFIG.pretraining.model_dump(mode="json"),
        },
        config=SETTINGS,
    log:
        RESULTS + "/logs/pretrain/{model}.log",
    benchmark:
        RESULTS + "/benchmarks/pretrain/{model}.tsv"
    threads: 1
    resources:
        mem_mb=1500,
    # the longest jobs, and everything waits for them
    priority: 100
    conda:
        "../../environment.yml"
    shell:
        "intro pretrain --config {params.config} --model {wildcards.model} --threads {threads} > {log} 2>&1"
