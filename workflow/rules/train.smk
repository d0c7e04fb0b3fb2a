rule sweep_learning_rates:
    output:
        verdicts=RESULTS + "/grid/{model}/{method}.jsonl",
    input:
        model=RESULTS + "/models/{model}",
        problems=expand(RESULTS + "/problems/{name}.jsonl", name=["train", "validation"]),
        objective=objective_file,
        code=sources(*TRAINING_CODE),
    params:
        method=method_settings,
        settings=run_settings() | {"grid": CONFIG.training.learning_rates, "seed": CONFIG.training.train_seeds[0]},
        config=SETTINGS,
    log:
        RESULTS + "/logs/sweep/{model}.{method}.log",
    benchmark:
        RESULTS + "/benchmarks/sweep/{model}.{method}.tsv"
    threads: 1
    resources:
        mem_mb=1500,
    priority: 90
    conda:
        "../../environment.yml"
    shell:
        "intro sweep --config {params.config} --model {wildcards.model} --method {wildcards.method}"
        " --threads {threads} > {log} 2>&1"


# a checkpoint, since what it chooses decides what must be trained: when another grid leads to the same rates, the
# runs stand; when a rate changes, the runs that use it change their params and are made again
checkpoint select_learning_rates:
    output:
        protocol=RESULTS + "/protocol.json",
    input:
        grid=GRID,
    params:
        settings=settings("training"),
        config=SETTINGS,
    log:
        RESULTS + "/logs/select.log",
    benchmark:
        RESULTS + "/benchmarks/select.tsv"
    threads: 1
    priority: 90
    conda:
        "../../environment.yml"
    shell:
        "intro select --config {params.config} > {log} 2>&1"


def protocol_file(wildcards):
    return checkpoints.select_learning_rates.get().output.protocol


def chosen_rate(wildcards):
    """The rate of a run, once it is known."""
    if not Path(RESULTS, "protocol.json").exists():
        return None
    return learning_rate(CONFIG, wildcards.method, wildcards.protocol)


rule train_policy:
    output:
        final=directory(RUN + "/final"),
        metrics=RUN + "/metrics.csv",
        curves=RUN + "/curves.csv",
        record=RUN + "/record.json",
    input:
        model=RESULTS + "/models/{model}",
        # a curve generates a few problems of each benchmark
        problems=expand(RESULTS + "/problems/{name}.jsonl", name=PROBLEMS),
        protocol=ancient(protocol_file),
        objective=objective_file,
        code=sources(*TRAINING_CODE),
    params:
        method=method_settings,
        settings=run_settings(),
        learning_rate=chosen_rate,
        config=SETTINGS,
    log:
        RESULTS + "/logs/train/{model}.{method}.{protocol}.seed{seed}.log",
    benchmark:
        RESULTS + "/benchmarks/train/{model}.{method}.{protocol}.seed{seed}.tsv"
    threads: 1
    resources:
        mem_mb=1500,
    conda:
        "../../environment.yml"
    shell:
        "intro train --config {params.config} --model {wildcards.model} --method {wildcards.method}"
        " --protocol {wildcards.protocol} --seed {wildcards.seed} --threads {threads} > {log} 2>&1"
