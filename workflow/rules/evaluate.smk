# `experiments.evaluation_jobs` says which suites of a checkpoint share a process
for suites, cells in experiments.evaluation_jobs(CONFIG).items():

    rule:
        name:
            f"generate_{'_'.join(suites)}"
        input:
            weights=weights,
            problems=suite_problems(*suites),
        output:
            generations=expand(
                f"{RUN}/{{suite}}/generations.jsonl", suite=suites, allow_missing=True
            ),
        log:
            f"{RESULTS}/logs/generate/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.{'_'.join(suites)}.log",
        benchmark:
            f"{RESULTS}/benchmarks/generate/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.{'_'.join(suites)}.tsv"
        wildcard_constraints:
            model=model_of(cells),
        conda:
            "../envs/intro.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            gpu=one_gpu,
        params:
            code=code_of("generate"),
            hardware=serving_settings,
            settings={suite: suite_settings(suite) for suite in suites},
            config=settings_file,
            suites=" ".join(f"--suite {suite}" for suite in suites),
        shell:
            "intro generate --config {params.config} --model {wildcards.model} --method {wildcards.method}"
            " --protocol {wildcards.protocol} --seed {wildcards.seed} {params.suites}"
            " --threads {threads} > {log} 2>&1"

    rule:
        name:
            f"grade_{'_'.join(suites)}"
        input:
            generations=expand(
                f"{RUN}/{{suite}}/generations.jsonl", suite=suites, allow_missing=True
            ),
            problems=suite_problems(*suites),
        output:
            grades=expand(
                f"{RUN}/{{suite}}/grades.jsonl", suite=suites, allow_missing=True
            ),
            score=expand(
                f"{RUN}/{{suite}}/score.json", suite=suites, allow_missing=True
            ),
        log:
            f"{RESULTS}/logs/grade/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.{'_'.join(suites)}.log",
        benchmark:
            f"{RESULTS}/benchmarks/grade/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.{'_'.join(suites)}.tsv"
        wildcard_constraints:
            model=model_of(cells),
        conda:
            "../envs/intro.yaml"
        threads: 1
        params:
            code=code_of("grade", without=None),
            settings=grading_settings(),
            config=settings_file,
            suites=" ".join(f"--suite {suite}" for suite in suites),
        shell:
            "intro grade --config {params.config} --model {wildcards.model} --method {wildcards.method}"
            " --protocol {wildcards.protocol} --seed {wildcards.seed} {params.suites} > {log} 2>&1"


rule judge_rationales:
    input:
        model=str(experiments.judge_folder(CONFIG)),
        generations=f"{RUN}/{{suite}}/generations.jsonl",
        grades=f"{RUN}/{{suite}}/grades.jsonl",
        problems=lambda w: suite_problems(w.suite),
    output:
        judged=f"{RUN}/{{suite}}/judged.jsonl",
    log:
        f"{RESULTS}/logs/judge/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.{{suite}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge/{{model}}.{{method}}.{{protocol}}.seed{{seed}}.{{suite}}.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        gpu=CONFIG.verifier.hardware.gpus if CONFIG.verifier else 0,
    params:
        code=code_of("judge"),
        settings=settings("verifier"),
        config=settings_file,
        intro=judge_command(),
    shell:
        "{params.intro} judge --config {params.config} --model {wildcards.model} --method {wildcards.method}"
        " --protocol {wildcards.protocol} --seed {wildcards.seed} --suite {wildcards.suite} > {log} 2>&1"


rule collect_results:
    input:
        grades=suite_files("grades.jsonl", experiments.evaluations(CONFIG)),
        judged=suite_files("judged.jsonl", experiments.judged_evaluations(CONFIG)),
        curves=run_files("curves.csv", TRAINED),
        metrics=run_files("metrics.csv", TRAINED),
        grid=VALIDATED,
        learning_rates=f"{RESULTS}/learning_rates.json",
    output:
        expand(
            f"{RESULTS}/{{name}}",
            name=[
                "graded_responses.csv.gz",
                "scores.csv",
                "curves.csv",
                "metrics.csv",
            ],
        ),
        expand(
            f"{RESULTS}/{{name}}",
            name=["grid.csv", "grid_graded_responses.csv.gz", "run.json"],
        ),
    log:
        f"{RESULTS}/logs/collect.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        code=code_of("collect"),
        settings=settings("seed") | {"resamples": CONFIG.evaluation.resamples},
        config=settings_file,
    shell:
        "intro collect --config {params.config} > {log} 2>&1"


rule check_posterior:
    input:
        models=[
            str(experiments.base_folder(CONFIG, model))
            for model in CONFIG.posterior.models
        ],
        problems=f"{RESULTS}/problems/validation.jsonl",
    output:
        kl=f"{RESULTS}/posterior.csv",
    log:
        f"{RESULTS}/logs/posterior.log",
    benchmark:
        f"{RESULTS}/benchmarks/posterior.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    resources:
        mem_mb=1500,
    params:
        code=code_of("posterior"),
        settings=settings("posterior", "prompts")
        | {"limit": CONFIG.training.max_response_tokens},
        config=settings_file,
    shell:
        "intro posterior --config {params.config} --threads {threads} > {log} 2>&1"


rule measure_cost:
    input:
        model=str(experiments.base_folder(CONFIG, CONFIG.cost.model)),
        problems=f"{RESULTS}/problems/train.jsonl",
    output:
        cost=f"{RESULTS}/cost.csv",
    log:
        f"{RESULTS}/logs/cost.log",
    benchmark:
        f"{RESULTS}/benchmarks/cost.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        gpu=min(1, CONFIG.models[CONFIG.cost.model].hardware.gpus),
    params:
        code=cost_code(),
        settings=cost_settings(),
        config=settings_file,
    shell:
        "intro cost --config {params.config} --threads {threads} > {log} 2>&1"
