THEORY = [f"{RESULTS}/theory/identities.json", f"{RESULTS}/theory/identities.md"]


rule theory:
    output:
        json=THEORY[0],
        page=THEORY[1],
    input:
        sources("theory/*.py"),
    params:
        config=SETTINGS,
    log:
        RESULTS + "/logs/theory.log",
    benchmark:
        RESULTS + "/benchmarks/theory.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro theory --config {params.config} > {log} 2>&1"
