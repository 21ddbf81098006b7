# Everything a developer or a newcomer does. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
OUTPUT ?= output
SEEDS ?= 1
FOLDER = $(if $(BENCH_DATA),--folder $(BENCH_DATA))

# Each has an extra in pyproject.toml, but for base, and its requirements in images/<name>/.
IMAGES ?= base arima catboost tensorflow tensorflow-gpu serving
# A bar for each file in a terminal, two lines for each package elsewhere. Both lists of packages take minutes.
PIP_SHOWN := -m pip install --disable-pip-version-check --require-hashes --progress-bar $(if $(MAKE_TERMOUT),on,off)
# Extras are pinned by name: the pip of Python 3.11 takes the newest of a package that is asked for by an extra.
UV_COMPILE := .venv-lock/bin/uv pip compile --upgrade --generate-hashes --python-version 3.11 --no-header \
	--no-annotate --no-emit-index-url --no-strip-extras --quiet

# Tests start many processes, each of which would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup python run configs test coverage test-fast e2e images push sbom bench bench-accuracy bench-arima bench-neural \
	bench-panel bench-large bench-shards bench-sampling bench-overhead bench-registry bench-tuning bench-level-shifts test-long test-database test-browser \
	page-times screenshots report-assets fuzz lint format docs manifests-check compile submit schedule lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: .venv/.installed ## Make .venv with every dependency, pinned by hash, and the kubecast command

.venv/.installed: requirements/dev.txt pyproject.toml | python
	$(PYTHON) -m venv .venv
	@echo "installing $$(grep -c ^[a-z].*== requirements/dev.txt) packages of 3 GB into .venv; this takes minutes"
	$(BIN)/python $(PIP_SHOWN) -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' \
		|| { echo 'error: $(PYTHON) is not Python 3.11 or 3.12; set PYTHON=python3.11' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; } \
		|| { echo 'error: Python cannot make virtual environments; install Debian package python3-venv' >&2; exit 2; }

run: setup ## Train, evaluate and publish on half-hourly electricity demand, on this machine
	$(BIN)/kubecast sample --output $(OUTPUT)/demand.csv
	$(BIN)/kubecast run --data $(OUTPUT)/demand.csv --preset quick \
		--horizon 48 --freq 30min --season-length 48,336 --output $(OUTPUT)/demand $(ARGS)

configs: setup ## Write configs/*.yaml and configs/search/*.yaml again, from the models of the settings
	$(BIN)/kubecast init configs --overwrite

test: setup ## Run the tests, all but the long ones
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "not long" $(COVERAGE) $(ARGS)

coverage: COVERAGE = --cov --cov-report=term
coverage: test ## Run them under measurement, and hold the floor of what they cover; no stage of CI, which runs them already

test-long: setup ## Run searches, fits that are killed, several runs in a row, servers that fail: minutes
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m long $(ARGS)

test-fast: setup ## Run the tests that take no seconds: those that are not marked slow
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow and not long" $(ARGS)

e2e: setup ## Build the images on a Debian base and run the pipelines in them, in containers; as root
	tests/containers/prepare.sh base arima catboost tensorflow serving
	$(BIN)/python -m pytest --durations 5 tests/containers/e2e.py tests/containers/e2e_shards.py $(ARGS)

test-database: setup ## Tune with workers that are killed, and read data, on a real PostgreSQL; as root
	tests/database/prepare.sh
	$(BIN)/python -m pytest tests/database/postgresql.py tests/database/sources.py $(ARGS)

test-browser: setup ## Open every report in Chromium as its readers do, with axe-core; as root
	tests/browser/prepare.sh
	$(BIN)/python -m pytest tests/browser/pages.py tests/browser/explorer.py $(ARGS)

page-times: setup ## Measure the report's size and its time to the first chart, by number of series; as root
	tests/browser/prepare.sh
	$(BIN)/python -m tests.browser.load_times

screenshots: run ## Make the pictures of the documentation from the pages of `make run`; as root
	tests/browser/prepare.sh
	$(BIN)/python -m tests.browser.screenshots $(OUTPUT)/demand docs/images

report-assets: ## Build the charts' script of the pages again, from report-assets/; needs Node.js
	npm ci --prefix report-assets --silent --no-audit --no-fund
	npm run --prefix report-assets --silent build

fuzz: setup ## Read bad files under load; kill writers and the server of a registry at random moments; under 10 minutes
	$(BIN)/python -m tests.fuzz.ragged
	$(BIN)/python -m tests.fuzz.fuzz $(ARGS)

bench: setup ## Measure all but tuning with one seed, on BENCH_DATA=FOLDER, and write docs/benchmarks.md and .json
	$(MAKE) bench-accuracy bench-arima bench-neural bench-panel bench-overhead bench-registry
	$(BIN)/python -m benchmarks.report

bench-arima: setup ## Compare ARIMA with pmdarima: speed, error, memory, long seasons
	$(BIN)/python -m benchmarks.arima $(FOLDER) $(ARGS)

bench-neural: setup .venv-peers/.installed ## Compare the networks with plain PyTorch: windows a second, memory
	$(BIN)/python -m benchmarks.neural --torch .venv-peers/bin/python $(ARGS)

bench-panel: setup ## Measure every stage on 100, 1,000 and 10,000 series: seconds, memory, growth
	$(BIN)/python -m benchmarks.panel $(ARGS)

bench-large: setup ## Measure every stage on 100,000 series, with CatBoost alone and few origins
	$(BIN)/python -m benchmarks.panel --large --series 20000 50000 100000 $(ARGS)

bench-shards: setup ## Compare ARIMA fitted in shards with one fit: equality, memory, what a shard adds
	$(BIN)/python -m benchmarks.shards $(ARGS)

bench-sampling: setup ## Compare models fitted to a sample of series with those fitted to all, on public boards
	$(BIN)/python -m benchmarks.sampling $(if $(BENCH_DATA),--folder $(BENCH_DATA)/boards) $(ARGS)

bench-overhead: setup ## Measure the command, a compile, a run outside its tasks, and imports
	$(BIN)/python -m benchmarks.overhead $(ARGS)

bench-tuning: setup ## Compare tuned with untuned models on demand and hourly series of M4
	$(BIN)/python -m benchmarks.tuning $(FOLDER) $(ARGS)

bench-accuracy: setup .venv-peers/.installed ## Compare accuracy with AutoGluon and others in the same time: SEEDS=5 for the final table
	$(BIN)/python -m benchmarks.accuracy --seeds $(SEEDS) $(FOLDER) $(ARGS)

.venv-peers/.installed: requirements/peers.txt | python
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python $(PIP_SHOWN) -r $<
	@touch $@

bench-level-shifts: setup ## Compare forecasts after shifts of level, pulses and changes of unit with those of nothing
	$(BIN)/python -m benchmarks.level_shifts $(ARGS)

bench-registry: setup ## Compare the registry's store with boto3 and s3fs on one S3 server
	$(BIN)/python -m benchmarks.registry $(ARGS)

lint: setup ## Check format, style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

manifests-check: .venv-manifests/.installed ## Render the manifests and check them, and the Containerfiles
	manifests/check.sh .venv-manifests/bin $(OUTPUT)/manifests

.venv-manifests/.installed: requirements/manifests.txt | python
	$(PYTHON) -m venv --clear .venv-manifests
	.venv-manifests/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

docs: setup .venv-docs/.installed ## Build the documentation, which needs no network to be read: output/site/index.html
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

.venv-docs/.installed: requirements/docs.txt | python
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

images: ## Build the container images with docker, podman or buildah, whichever works
	images/build.sh $(IMAGES)

push: ## Push the images that were built: make push REGISTRY=ghcr.io/team [TAG=0.1.0-abc]
	images/push.sh "$(REGISTRY)" "$(TAG)" $(IMAGES)

sbom: .venv-sbom/.installed ## List what each image holds, as CycloneDX: output/sbom/
	mkdir -p $(OUTPUT)/sbom
	for image in $(IMAGES); do \
		sed "s/^name = \"kubecast\"/name = \"kubecast-$$image\"/" pyproject.toml > $(OUTPUT)/sbom/pyproject.toml; \
		cat images/$$image/requirements.txt images/executor.txt | .venv-sbom/bin/cyclonedx-py requirements - \
			--pyproject $(OUTPUT)/sbom/pyproject.toml --mc-type application --output-reproducible \
			--output-file $(OUTPUT)/sbom/kubecast-$$image.json || exit; \
	done
	rm $(OUTPUT)/sbom/pyproject.toml

.venv-sbom/.installed: requirements/sbom.txt | python
	$(PYTHON) -m venv --clear .venv-sbom
	.venv-sbom/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

compile: setup ## Compile the pipeline for a cluster: output/pipeline.yaml
	$(BIN)/kubecast compile --config configs --output $(OUTPUT)/pipeline.yaml

submit: setup ## Run on a cluster: make submit CONFIG=demand DATA=s3://demand/demand.csv [MODE=train] [ARGS=--wait]
	$(BIN)/kubecast submit $(if $(CONFIG),--config "$(CONFIG)") --mode $(or $(MODE),train) \
		$(if $(DATA),--param "data=$(DATA)") $(ARGS)

schedule: setup ## Keep the schedules of cluster.yaml on a cluster: make schedule CONFIG=demand [ARGS=--dry-run]
	$(BIN)/kubecast schedule apply $(if $(CONFIG),--config "$(CONFIG)") $(ARGS)

lock: ## Resolve the dependencies again and pin them by hash
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/python -m pip install --quiet uv
	$(UV_COMPILE) --output-file requirements/dev.txt --extra dev pyproject.toml
	$(foreach image,$(IMAGES),$(UV_COMPILE) --constraint requirements/dev.txt --extra $(if $(filter base,$(image)),katib --extra tables,$(image)) \
		--output-file images/$(image)/requirements.txt pyproject.toml &&) true
	printf 'kfp\n' | $(UV_COMPILE) --constraint requirements/dev.txt --no-deps --output-file images/executor.txt -
	printf 'setuptools\n' | $(UV_COMPILE) --constraint requirements/dev.txt --no-deps --output-file images/build.txt -
	$(UV_COMPILE) --output-file requirements/manifests.txt requirements/manifests.in
	$(UV_COMPILE) --output-file requirements/sbom.txt requirements/sbom.in
	$(UV_COMPILE) --output-file requirements/docs.txt requirements/docs.in
	$(UV_COMPILE) --strip-extras --output-file requirements/peers.txt requirements/peers.in
	rm -rf .venv-lock

clean: ## Remove what the other targets made
	rm -rf .venv .venv-lock .venv-manifests .venv-sbom .venv-peers .venv-docs $(OUTPUT) .pytest_cache .mypy_cache .ruff_cache \
		.coverage* *.egg-info src/*.egg-info tests/browser/node_modules report-assets/node_modules
