THEORY = [f"{RESULTS}/theory/identities.json", f"{RESULTS}/theory/identities.md"]


rule theory:
    input:
        sources("theory/*.py"),
    output:
        json=THEORY[0],
        page=THEORY[1],
    log:
        f"{RESULTS}/logs/theory.log",
    benchmark:
        f"{RESULTS}/benchmarks/theory.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        config=SETTINGS,
    shell:
        "intro theory --config {params.config} > {log} 2>&1"
