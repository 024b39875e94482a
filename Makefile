# The project's verbs. `make run` and `make test` need nothing but Python 3.10 to 3.13 and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 4141
TEST_WORKERS ?= auto

export DO_NOT_TRACK := 1
export KEDRO_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true

# EXPERIMENT=my_music chooses what is run or shown.
ifdef EXPERIMENT
export GENRE_PIPELINE_EXPERIMENT := $(EXPERIMENT)
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- set-up ---------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.10 to 3.13 is needed; '$(PYTHON)' is another. Choose one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Cannot make a virtual environment. On Debian or Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: pyproject.toml $(wildcard constraints-*.txt) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints-$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(wildcard constraints-*.txt) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints-$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt -e ".[dev]"
	@# With everything that .installed stands for: nothing is installed twice.
	@touch $(VENV)/.installed $@

.PHONY: setup
setup: $(VENV)/.installed-test ## Make .venv with everything for developing

.PHONY: pretrained
pretrained: $(VENV)/.installed ## Install the weights of the musicnn features (29 MB)
	@# Without its dependencies, which are of 2019: only its files are read. Again, if they were altered.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --force-reinstall \
		-r requirements-pretrained.txt

# --- using ----------------------------------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/.installed ## Demo (or EXPERIMENT=my_music): models, leaderboard and report (sets up what is missing)
	@$(BIN)/kedro run --pipelines train_all
	@$(BIN)/kedro leaderboard
	@$(BIN)/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("musicnn") is None)' || \
		echo "For the features of a pretrained network (musicnn, docs/features.md): make pretrained"

.PHONY: viz
viz: $(VENV)/.installed ## Show the pipeline in the browser (PORT=4141)
	$(BIN)/kedro viz run --port $(PORT)

.PHONY: mlflow
mlflow: $(VENV)/.installed ## Compare runs in the browser (http://127.0.0.1:5000)
	@# Not "kedro mlflow ui", which stays beside the server; one worker, and none for jobs, which nothing here starts.
	@uri="$$($(BIN)/python -c 'from genre_pipeline.project import tracking_uri; print(tracking_uri())')" && \
		case "$$uri" in http*) echo "MLflow runs at $$uri"; exit;; esac && \
		PATH="$(abspath $(BIN)):$$PATH" MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		exec $(BIN)/mlflow ui --workers 1 --backend-store-uri "$$uri"

.PHONY: images
images: $(VENV)/.installed-test ## Take the pictures of the documentation anew from the finished demo (needs Chromium)
	PYTHONPATH=tests $(BIN)/python docs/take_pictures.py

.PHONY: airflow-dags
airflow-dags: $(VENV)/.installed ## Write the experiment's DAGs for Airflow (EXPERIMENT=demo, EVERY=hourly, DAGS=data/dags)
	$(BIN)/kedro airflow-dags $(if $(ENV),--env $(ENV)) $(if $(EXPERIMENT),--experiment $(EXPERIMENT)) $(if $(EVERY),--every $(EVERY)) --output "$${DAGS:-$${GENRE_PIPELINE_DATA:-data}/dags}"

# --- checking -------------------------------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/.installed-test ## Run the whole test suite (sets up what is missing)
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile

.PHONY: stages
stages: $(VENV)/.installed-test ## Write down new versions of stages, and changed code that gives the same results
	@echo "Runs a small pipeline before and after the change where code changed: about 5 minutes."
	PYTHONPATH=tests $(BIN)/python -m stage_versions.lock

.PHONY: explore
explore: $(VENV)/.installed-test ## Run the property tests on new examples
	$(BIN)/pytest -n $(TEST_WORKERS) -m hypothesis --hypothesis-profile=new

.PHONY: coverage
coverage: $(VENV)/.installed-test ## The same, and how much of the code it runs: takes half as long again
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --cov --cov-report=term

.PHONY: lint
lint: $(VENV)/.installed-test ## Check style and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: $(VENV)/.installed-test ## Check types
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed-test ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: check
check: lint types test ## Everything that continuous integration checks

.PHONY: bench
bench: $(VENV)/.installed ## Measure the feature engine against plain librosa
	$(BIN)/python benchmarks/bench_features.py

# --- cleaning -------------------------------------------------------------------------------------------------------

.PHONY: clean
clean: ## Remove results (not music that was not made here) and caches
	@# In the folder, whatever it is called: its name is not the shell's to read.
	[ ! -d "$${GENRE_PIPELINE_DATA:-data}" ] || { cd -- "$${GENRE_PIPELINE_DATA:-data}" && rm -rf 01_raw/demo \
		02_intermediate 03_primary 04_feature 05_model_input 06_models 07_model_output 08_reporting mlflow; }
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .viz build dist
