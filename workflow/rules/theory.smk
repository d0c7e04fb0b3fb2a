THEORY = [f"{RESULTS}/theory/identities.json", f"{RESULTS}/theory/identities.md"]


rule theory:
    output:
        json=THEORY[0],
        page=THEORY[1],
    log:
        f"{RESULTS}/logs/theory.log",
    benchmark:
        f"{RESULTS}/benchmarks/theory.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        code=code_of("theory"),
        config=settings_file,
    shell:
        "intro theory --config {params.config} > {log} 2>&1"
