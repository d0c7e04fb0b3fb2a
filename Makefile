# Every target needs Python 3.11 or newer and make; everything else it installs itself.
# Another interpreter: `make reproduce PYTHON=python3.12`. One config option, one table: see README.md.

PYTHON ?= python3
VENV = .venv
# the tiny scale needs no other extra than the pipeline's: it installs quickly, and jobs start without importing more
TINY = $(VENV)/.installed
# all other scales, the tests and the style checks
FULL = $(VENV)/.installed-extras
RUN = PATH="$$PWD/$(VENV)/bin:$$PATH"
OFFLINE = HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1
# DeepSpeed is for Linux only and leaves itself out elsewhere
EXTRAS = dev,eval,gpu
# for the tests alone: where it is installed, every start of snakemake imports it, which takes half a second
SLURM = snakemake-executor-plugin-slurm
BENCHMARKS = grader update memory rollouts versus_trl scaling pretraining pipeline jobs

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

reproduce: $(TINY) ## regenerate every table and figure at the tiny scale and compare them with the paper
	$(RUN) snakemake --cores all
	@$(RUN) intro summary

rehearsal: $(FULL) ## run the code of the paper scale on toy checkpoints and a few rows: minutes, no network
	$(OFFLINE) $(RUN) intro rehearse --config config/rehearsal.yaml
	$(OFFLINE) $(RUN) snakemake --cores all --configfile config/rehearsal.yaml
	@$(RUN) intro summary --config config/rehearsal.yaml

test: $(FULL) ## run the tests
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(SLURM) || \
	  echo "$(SLURM) could not be installed: its tests are skipped" >&2
	$(RUN) pytest --numprocesses auto --dist loadfile

test-quick: $(FULL) ## run the tests that need no other program and no training, while you edit
	$(RUN) pytest --numprocesses auto -m 'not slow and not pipeline'

reference: $(TINY) ## the larger run behind results/reference/tiny; needs committed code
	@changes=$$(git status --porcelain -uno) && test -z "$$changes" || \
	  { echo "what is published must come from committed code; commit or stash your changes first" >&2; exit 1; }
	$(RUN) snakemake --cores all --configfile config/reference.yaml
	$(RUN) intro publish --config config/reference.yaml
	@# once more: the comparison's column "reference" is what has just been published, not what it replaced
	$(RUN) intro compare --config config/reference.yaml
	$(RUN) intro publish --config config/reference.yaml

bench: $(FULL) ## measure speed and memory on the CPU, one benchmark after the other, into results/benchmarks
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@for name in $(BENCHMARKS); do \
	  echo "$$name"; $(OFFLINE) $(RUN) python benchmarks/$$name.py --out results/benchmarks/$$name.csv || exit 1; done

bench-gpu: ## measure on a GPU, some 10 minutes: no .venv, the interpreter PYTHON needs the base dependencies only
	PYTHONPATH=src "$(PYTHON)" benchmarks/gpu.py
	PYTHONPATH=src "$(PYTHON)" benchmarks/rollouts.py --device cuda --rounds 3 --tokens 128 --minutes 4 --out results/benchmarks/rollouts_gpu.csv

lint: $(FULL) ## check style of code and workflow
	$(RUN) ruff check .
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) snakemake --lint

setup: $(FULL) ## only make the virtual environment .venv

clean: ## delete results and figures of the tiny, smoke and rehearsal scales, and caches (not .venv)
	rm -rf results/tiny figures/tiny results/smoke figures/smoke results/rehearsal figures/rehearsal
	rm -rf .pytest_cache .ruff_cache .hypothesis

# Installs again only when the dependencies changed. The log keeps what the terminal is not shown.
define install
rm -f $@
echo "installing the pinned packages $(2)into $(VENV): some minutes the first time, log in $(VENV)/install.log"
{ $(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e '$(1)' 2>&1 \
  && touch $@; } | tee $(VENV)/install.log | awk '/^ *(Downloading|Using cached) .*\.whl \(/ \
  && !/metadata/ {print "  " $$0; fflush()} /^Installing collected/ {print "  Unpacking all of them"; fflush()}'
test -f $@ || { tail -n 20 $(VENV)/install.log >&2; \
  echo "the installation failed: see above and $(VENV)/install.log, then run make again" >&2; exit 1; }
endef

$(TINY): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" > /dev/null || \
	  { echo "intro needs Python 3.11 or newer, found no '$(PYTHON)'; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "intro needs Python 3.11 or newer, found " \
	  + sys.version.split()[0] + "; name one: make PYTHON=/path/to/python3.11")'
	@test -x $(VENV)/bin/python || "$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	@$(call install,.[pipeline])

$(FULL): $(TINY)
	@$(call install,.[$(EXTRAS)],of $(EXTRAS) )

.PHONY: help reproduce rehearsal test test-quick reference bench bench-gpu lint setup clean
