TABLE_NAMES = plan.tables(CONFIG)
TABLES = [file for name in TABLE_NAMES for file in table_files(name)]


rule lay_out_table:
    input:
        expand(
            f"{RESULTS}/{{name}}",
            name=["verdicts.csv.gz", "scores.csv", "metrics.csv"],
        ),
        code=sources("analysis/tables.py", "analysis/typeset.py", "analysis/stats.py"),
    output:
        report(
            f"{RESULTS}/tables/{{table}}.csv",
            caption="../report/{table}.rst",
            category="Tables",
            labels={"table": "{table}", "format": "csv"},
        ),
        f"{RESULTS}/tables/{{table}}.md",
        f"{RESULTS}/tables/{{table}}.tex",
    log:
        f"{RESULTS}/logs/tables/{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables/{{table}}.tsv"
    wildcard_constraints:
        table="|".join(TABLE_NAMES),
    conda:
        "../../environment.yml"
    threads: 1
    params:
        settings=lambda w: settings(
            "models", "methods", "ablation_n", "controls", "evaluation"
        ),
        config=SETTINGS,
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
