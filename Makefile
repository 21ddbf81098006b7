# Everything a developer or a newcomer does. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
OUTPUT ?= output

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format compile lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed ## Make .venv with every dependency, pinned by hash, and the kubecast command

.venv/.installed: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' \
		|| { echo 'error: $(PYTHON) is not Python 3.11 or 3.12; set PYTHON=python3.11' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; } \
		|| { echo 'error: Python cannot make virtual environments; install Debian package python3-venv' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## Train, judge and publish on half-hourly electricity demand, on this machine
	$(BIN)/kubecast sample --output $(OUTPUT)/demand.csv
	$(BIN)/kubecast run --data $(OUTPUT)/demand.csv --config configs/quick \
		--horizon 48 --freq 30min --season-length 48,336 --output $(OUTPUT)/demand

test: setup ## Run the whole test suite with its coverage floor
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report=term $(ARGS)

lint: setup ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

compile: setup ## Compile the pipeline for a cluster: output/pipeline.yaml
	$(BIN)/kubecast compile --config configs --output $(OUTPUT)/pipeline.yaml

lock: ## Resolve the dependencies again and pin them by hash
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile pyproject.toml --all-extras --generate-hashes --python-version 3.11 \
		--no-header --no-annotate --no-emit-index-url --quiet --upgrade --output-file requirements/dev.txt
	rm -rf .venv-lock

clean: ## Remove what the other targets made
	rm -rf .venv .venv-lock $(OUTPUT) .pytest_cache .mypy_cache .ruff_cache .coverage* *.egg-info src/*.egg-info
