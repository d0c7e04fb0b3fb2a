# The whole reproduction: `snakemake --cores all`, or one target such as `snakemake --cores all table_main`.
from snakemake.utils import min_version

min_version("9.0")


if (
    not config
):  # a config given on the command line replaces the default, it is not merged with it

    configfile: "config/tiny.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


# The hook runs under Snakemake's lock, before the first job; not in plans and reports, nor with --no-hooks.
# Snakemake limits jobs per second by a timer per job. Each wakes the scheduler again and again until the end, and a run
# that is finished waits for them; no option turns the limit off
onstart:
    write_settings()
    workflow.scheduler.job_rate_limiter = None


rule all:
    default_target: True
    input:
        TABLES,
        FIGURES,
        COMPARISON,
        THEORY,
        f"{RESULTS}/report.html",
