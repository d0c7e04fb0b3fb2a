def table_files(name):
    return [f"{RESULTS}/tables/{name}.{ending}" for ending in ("csv", "md", "tex")]


TABLE_NAMES = plan.tables(CONFIG)
TABLES = [file for name in TABLE_NAMES for file in table_files(name)]


rule lay_out_table:
    output:
        report(
            RESULTS + "/tables/{table}.csv",
            caption="../report/{table}.rst",
            category="Tables",
            labels={"table": "{table}", "format": "csv"},
        ),
        RESULTS + "/tables/{table}.md",
        RESULTS + "/tables/{table}.tex",
    input:
        expand(RESULTS + "/{name}", name=["verdicts.csv.gz", "scores.csv", "metrics.csv"]),
        code=sources("analysis/tables.py", "analysis/typeset.py", "analysis/stats.py"),
    params:
        settings=lambda w: settings("models", "methods", "ablation_n", "controls", "evaluation"),
        config=SETTINGS,
    wildcard_constraints:
        table="|".join(TABLE_NAMES),
    log:
        RESULTS + "/logs/tables/{table}.log",
    benchmark:
        RESULTS + "/benchmarks/tables/{table}.tsv"
    threads: 1
    conda:
        "../../environment.yml"
    shell:
        "intro table {wildcards.table} --config {params.config} > {log} 2>&1"


rule table_main:
    input:
        table_files("main"),


rule table_ood:
    input:
        table_files("ood"),


rule table_ablation_n:
    input:
        table_files("ablation_n"),
