TABLES = [
    file for name in experiments.table_names(CONFIG) for file in table_files(name)
]

# one rule per table, which needs the runs that it shows and no others
for table in experiments.table_names(CONFIG):

    rule:
        name:
            f"table_{table}"
        input:
            strings(sources.table_sources(CONFIG, table).files(CONFIG)),
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
            "../envs/intro.yaml"
        threads: 1
        params:
            code=code_of("table"),
            settings=settings(
                "models", "methods", "ablation_n", "baseline", "controls", "evaluation"
            ),
            config=settings_file,
            table=table,
        shell:
            "intro table {params.table} --config {params.config} > {log} 2>&1"
