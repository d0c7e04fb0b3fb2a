rule report:
    output:
        report(RESULTS + "/report.html", caption="../report/page.rst", category="Report"),
    input:
        TABLES,
        FIGURES,
        COMPARISON,
        THEORY,
        f"{RESULTS}/run.json",
        captions=sorted(str(p) for p in Path("workflow/report").glob("*.rst")),
        code=sources("analysis/report.py", "analysis/page.py"),
    params:
        config=SETTINGS,
    log:
        RESULTS + "/logs/report.log",
    benchmark:
        RESULTS + "/benchmarks/report.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro report --config {params.config} > {log} 2>&1"
