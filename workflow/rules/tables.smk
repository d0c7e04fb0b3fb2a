TABLES = [
    file for name in experiments.table_names(CONFIG) for file in table_files(name)
]

# one rule per table: its name is a target, and its caption is its own
for table in experiments.table_names(CONFIG):

    rule:
        name:
            f"table_{table}"
        input:
            grades=suite_files(
                "grades.jsonl", experiments.table_evaluations(CONFIG, table)
            ),
            metrics=run_files("metrics.csv", trained_behind(table)),
        output:
            report(
                f"{RESULTS}/tables/{table}.csv",
                caption=f"../report/{table}.rst",
                category="Tables",
                labels={"table": table, "format": "csv"},
            ),
            table_files(table)[1:],
        log:
            f"{RESULTS}/logs/tables/{table}.log",
        benchmark:
            f"{RESULTS}/benchmarks/tables/{table}.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        params:
            code=code_of("table"),
            settings=settings(
                "models", "methods", "ablation_n", "controls", "evaluation"
            ),
            config=settings_file,
            table=table,
        shell:
            "intro table {params.table} --config {params.config} > {log} 2>&1"
