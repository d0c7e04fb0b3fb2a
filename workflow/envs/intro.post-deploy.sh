#!/usr/bin/env bash
# Snakemake runs this script once, in the new environment and from the folder that holds the Snakefile. It does not notice
# a changed constraints.txt: after such a change remove .snakemake/conda.
set -euo pipefail
if [ ! -f constraints.txt ] || [ ! -f pyproject.toml ]; then
  echo "expected constraints.txt and pyproject.toml in $PWD, found none; start snakemake in the project's folder" >&2
  exit 1
fi
python -m pip install --disable-pip-version-check -c constraints.txt -e '.[eval,gpu]'
