rule report:
    input:
        TABLES,
        FIGURES,
        COMPARISON,
        THEORY,
        f"{RESULTS}/run.json",
        captions=sorted(str(p) for p in Path("workflow/report").glob("*.rst")),
    output:
        report(
            f"{RESULTS}/report.html", caption="../report/page.rst", category="Report"
        ),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../envs/intro.yaml"
    threads: 1
    params:
        code=code_of("report"),
        config=settings_file,
    shell:
        "intro report --config {params.config} > {log} 2>&1"
