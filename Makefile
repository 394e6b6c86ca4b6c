# make demo   environment, model weights, then the calls in data_samples/ scored and shown
# make test   the same environment, then every check and test
# Both do all their own set-up; a second run does none and needs no network.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
RESULTS ?= demo_results
KEY    := data_samples/keys/THROWAWAY-recordings.key

export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help demo test lint accuracy accuracy-masking fuzz calibrate bench bench-hearing notebooks env models browser soak clean

help:
	@sed -n '1,3s/^# //p' Makefile
	@echo "make notebooks  JupyterLab with the notebooks for analysts, in Chinese"
	@echo "make lint | accuracy | calibrate | bench | bench-hearing | clean"

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "zhijian needs Python 3.11 with pip; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making the environment in $(VENV) (a few minutes, once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

env: $(VENV)/.installed

models: env
	@$(BIN)/zhijian models fetch --quiet

demo: models
	@chmod 600 $(KEY)
	@$(BIN)/zhijian score data_samples/recordings --calls data_samples/calls.csv --out $(RESULTS) --identity $(KEY)
	@$(BIN)/zhijian show --results $(RESULTS)
	@$(BIN)/python data_samples/compare_truth.py $(RESULTS)

$(VENV)/.notebooks: $(VENV)/.installed
	@echo "Adding JupyterLab to $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,notebooks]'
	@touch $@

# On the results in ZHIJIAN_RESULTS, else on those of the demo. Outputs are cleared when it ends.
notebooks: $(VENV)/.notebooks
	@test -n "$(ZHIJIAN_RESULTS)" || test -d $(RESULTS)/scores || $(MAKE) demo
	@trap : INT TERM; $(if $(ZHIJIAN_IDENTITY),ZHIJIAN_IDENTITY="$(abspath $(ZHIJIAN_IDENTITY))") \
	  $(BIN)/jupyter lab --notebook-dir notebooks --KernelManager.transport=ipc $(ARGS); $(BIN)/python notebooks/strip.py

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: models lint
	@$(BIN)/python -m pytest

accuracy: env
	@$(BIN)/python -m tests.accuracy.judging

accuracy-masking: env
	@$(BIN)/python -m tests.security.masking_accuracy --write

fuzz: env
	@$(BIN)/python -m tests.security.fuzz --count 100000

calibrate: env
	@$(BIN)/python -m tests.calibration.refit
	@$(BIN)/python -m tests.calibration.acoustic
	@$(BIN)/python -m tests.calibration.words

# ARGS=--quick tries every part on next to nothing and writes nothing
bench: models
	@$(BIN)/python -m benchmarks.judging $(filter --quick,$(ARGS))
	@$(BIN)/python -m benchmarks.night $(ARGS)

# ARGS="--set NAME=FOLDER --only NAME --quick --hours 1"
bench-hearing: models
	@$(BIN)/python -m benchmarks.hearing $(ARGS)

# The pages of `zhijian report` are tested in it; without it those tests are skipped and say so.
browser:
	@command -v chromium >/dev/null || { \
		command -v apt-get >/dev/null || { echo "install Chromium by hand: apt-get is not here" >&2; exit 1; }; \
		[ "$$(id -u)" = 0 ] || { echo "run as root: apt-get install chromium fonts-noto-cjk" >&2; exit 1; }; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null; }
	@chromium --version

soak: env
	@$(BIN)/python -m tests.faults.killed_nights --kills 1000

clean:
	rm -rf $(RESULTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
