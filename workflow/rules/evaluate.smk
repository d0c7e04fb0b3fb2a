def weights(wildcards):
    """The folder that answers: the base model's, or a run's final one."""
    return str(plan.Cell(wildcards.model, wildcards.method, wildcards.protocol, wildcards.seed).weights(CONFIG))


def suite_problems(wildcards):
    suite = CONFIG.evaluation.suites[wildcards.suite]
    return expand(RESULTS + "/problems/{name}.jsonl", name=suite.benchmarks)


rule generate_responses:
    output:
        generations=RUN + "/{suite}/generations.jsonl",
    input:
        weights=weights,
        problems=suite_problems,
        code=sources("lm/decoder.py", "lm/engine.py", "lm/text.py", "evaluation/generate.py"),
    params:
        settings=suite_settings,
        config=SETTINGS,
    log:
        RESULTS + "/logs/generate/{model}.{method}.{protocol}.seed{seed}.{suite}.log",
    benchmark:
        RESULTS + "/benchmarks/generate/{model}.{method}.{protocol}.seed{seed}.{suite}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
    conda:
        "../../environment.yml"
    shell:
        "intro generate --config {params.config} --model {wildcards.model} --method {wildcards.method}"
        " --protocol {wildcards.protocol} --seed {wildcards.seed} --suite {wildcards.suite}"
        " --threads {threads} > {log} 2>&1"


rule grade_responses:
    output:
        grades=RUN + "/{suite}/grades.jsonl",
        score=RUN + "/{suite}/score.json",
    input:
        generations=RUN + "/{suite}/generations.jsonl",
        code=sources("tasks/checking.py", "tasks/families.py", "evaluation/grade.py"),
    params:
        config=SETTINGS,
    log:
        RESULTS + "/logs/grade/{model}.{method}.{protocol}.seed{seed}.{suite}.log",
    benchmark:
        RESULTS + "/benchmarks/grade/{model}.{method}.{protocol}.seed{seed}.{suite}.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro grade --config {params.config} --model {wildcards.model} --method {wildcards.method}"
        " --protocol {wildcards.protocol} --seed {wildcards.seed} --suite {wildcards.suite} > {log} 2>&1"


rule collect_results:
    output:
        expand(RESULTS + "/{name}", name=["verdicts.csv.gz", "scores.csv", "curves.csv", "metrics.csv"]),
        expand(RESULTS + "/{name}", name=["grid.csv", "grid_verdicts.csv.gz", "run.json"]),
    input:
        grades=grades(),
        curves=run_files("curves.csv", TRAINED),
        metrics=run_files("metrics.csv", TRAINED),
        grid=GRID,
        protocol=RESULTS + "/protocol.json",
        code=sources("analysis/collect.py", "analysis/stats.py"),
    params:
        settings=settings("seed") | {"resamples": CONFIG.evaluation.resamples},
        config=SETTINGS,
    log:
        RESULTS + "/logs/collect.log",
    benchmark:
        RESULTS + "/benchmarks/collect.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro collect --config {params.config} > {log} 2>&1"


rule check_posterior:
    output:
        kl=RESULTS + "/posterior.csv",
    input:
        models=[RESULTS + f"/models/{model}" for model in CONFIG.posterior.models],
        problems=RESULTS + "/problems/validation.jsonl",
        code=sources("lm/*.py", "evaluation/posterior.py"),
    params:
        settings=settings("posterior", "prompts"),
        config=SETTINGS,
    log:
        RESULTS + "/logs/posterior.log",
    benchmark:
        RESULTS + "/benchmarks/posterior.tsv"
    threads: 1
    resources:
        mem_mb=1500,
    conda:
        "../../environment.yml"
    shell:
        "intro posterior --config {params.config} --threads {threads} > {log} 2>&1"


rule measure_cost:
    output:
        cost=RESULTS + "/cost.csv",
    input:
        model=RESULTS + f"/models/{CONFIG.cost.model}",
        problems=RESULTS + "/problems/train.jsonl",
        code=sources("lm/*.py", "objectives/*.py", "training/update.py", "evaluation/cost.py"),
    params:
        settings=settings("cost", "methods"),
        config=SETTINGS,
    log:
        RESULTS + "/logs/cost.log",
    benchmark:
        RESULTS + "/benchmarks/cost.tsv"
    threads: 1
    resources:
        mem_mb=1500,
    conda:
        "../../environment.yml"
    shell:
        "intro cost --config {params.config} --threads {threads} > {log} 2>&1"
