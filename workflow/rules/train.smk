rule sweep_learning_rates:
    input:
        model=lambda w: str(experiments.sweep_base_folder(CONFIG, w.model)),
        problems=expand(
            f"{RESULTS}/problems/{{name}}.jsonl", name=["train", "validation"]
        ),
    output:
        grades=f"{RESULTS}/grid/{{model}}/{{method}}.jsonl",
    log:
        f"{RESULTS}/logs/sweep/{{model}}.{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sweep/{{model}}.{{method}}.tsv"
    priority: 90
    conda:
        "../envs/intro.yaml"
    threads: processes
    resources:
        mem_mb=1500,
        gpu=gpus,
    params:
        code=run_code,
        settings=sweep_settings,
        config=settings_file,
    shell:
        "intro sweep --config {params.config} --model {wildcards.model} --method {wildcards.method}"
        " --threads 1 > {log} 2>&1"


# a checkpoint, since what it chooses decides what must be trained: when another grid leads to the same rates, the
# runs stand; when a rate changes, the runs that use it change their params and are made again
checkpoint select_learning_rates:
    input:
        grid=GRID,
    output:
        learning_rates=f"{RESULTS}/learning_rates.json",
    log:
        f"{RESULTS}/logs/select.log",
    benchmark:
        f"{RESULTS}/benchmarks/select.tsv"
    priority: 90
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        code=code_of("select"),
        settings=settings("training"),
        config=settings_file,
    shell:
        "intro select --config {params.config} > {log} 2>&1"


rule train_policy:
    input:
        model=base_model,
        # a curve generates a few problems of each benchmark of Table 1
        problems=expand(
            f"{RESULTS}/problems/{{name}}.jsonl",
            name=["train", *CONFIG.evaluation.suites["main"].benchmarks],
        ),
        learning_rates=ancient(learning_rates_file),
    output:
        final=directory(f"{RUN}/final"),
        metrics=f"{RUN}/metrics.csv",
        curves=f"{RUN}/curves.csv",
        record=f"{RUN}/record.json",
    log:
        f"{RESULTS}/logs/train/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.tsv"
    conda:
        "../envs/intro.yaml"
    threads: processes
    resources:
        mem_mb=1500,
        gpu=gpus,
    params:
        code=run_code,
        settings=run_settings,
        learning_rate=chosen_rate,
        config=settings_file,
    shell:
        "intro train --config {params.config} --model {wildcards.model} --method {wildcards.method}"
        " --protocol {wildcards.protocol} --seed {wildcards.seed} --threads {threads} > {log} 2>&1"
