# Two commands: `make demo` and `make test`. Needs Python >= 3.11, make and a C++ compiler.
PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 1
ARTIFACTS ?= artifacts
VENV := .venv
BIN := $(VENV)/bin
# Only a test runs it, so it is fetched by checksum and never committed; without npm that test is skipped.
AXE_VERSION := 4.10.3
AXE_SHA512 := 5e6edba515e70d25f6604d9815f064d859c5d1ea7ab661bbc4f87c88779ef0c21cae0abbeb636471ef39e9d62d2582e4b88a1866f19f4ecfcf6d986275e4dc12
AXE := $(if $(shell which npm 2>/dev/null),$(VENV)/axe-core/package/axe.min.js)
# UPDATE_LOOKS=1 keeps the panels' pictures, which are compared with those in tests/browser/looks, as the new ones.
# BROWSER="browser and not timing" leaves out the page's budgets in milliseconds, for a noisy machine.
BROWSER ?= browser
# Overlong test runs are cut by pytest's own timeout; -n uses the cores there are.
PYTEST := $(BIN)/python -m pytest

.PHONY: demo serve test test-api test-browser test-docker test-docker-spark test-spark screenshots check format bench bench-spark reproduce clean

demo: $(VENV)/.train data/movielens-100k/dataset.json artifacts/movielens-100k/CURRENT
	@echo
	@echo "Serving on http://127.0.0.1:$(PORT) (Ctrl-C stops it). In another terminal, try:"
	@echo "  curl 'http://127.0.0.1:$(PORT)/recommend?user_id=196&k=5'"
	@echo "  curl 'http://127.0.0.1:$(PORT)/similar?item_id=50&k=5'"
	@echo "  curl -X POST http://127.0.0.1:$(PORT)/fold-in -H 'Content-Type: application/json' \\"
	@echo "       -d '{\"interactions\": [{\"item_id\": \"50\", \"value\": 5}, {\"item_id\": \"181\", \"value\": 5}], \"k\": 5}'"
	@echo
	@FOLDREC_ARTIFACTS=artifacts/movielens-100k FOLDREC_HOST=127.0.0.1 FOLDREC_PORT=$(PORT) $(BIN)/python -m app

data/movielens-100k/dataset.json: | $(VENV)/.train
	$(BIN)/python -m scripts.fetch movielens-100k

artifacts/movielens-100k/CURRENT: | $(VENV)/.train data/movielens-100k/dataset.json
	$(BIN)/python -m scripts.train --interactions data/movielens-100k --recipe recipes/ials.toml --holdout latest \
		--artifacts artifacts/movielens-100k

# Your own model, once scripts.train has published one to ARTIFACTS.
serve: $(VENV)/.train
	@FOLDREC_ARTIFACTS=$(ARTIFACTS) FOLDREC_PORT=$(PORT) FOLDREC_WORKERS=$(WORKERS) $(BIN)/python -m app

test: $(VENV)/.dev
	$(PYTEST) -n auto -m "not docker and not browser and not spark"

# Over 10,000 cases made from the OpenAPI document, all that it allows and what it does not.
test-api: $(VENV)/.dev
	TEST_API_EXAMPLES=500 $(PYTEST) -n auto tests/app/test_openapi.py

# Needs Chromium (apt-get install chromium). npm, where there is one, brings the accessibility checker.
test-browser: $(VENV)/.browser $(AXE)
	$(PYTEST) -m "$(BROWSER)" -rs

# The pictures in README, of the model that `make demo` serves.
screenshots: $(VENV)/.browser artifacts/movielens-100k/CURRENT
	$(BIN)/python -m tests.browser.screenshots artifacts/movielens-100k docs/images

test-docker: $(VENV)/.dev
	$(PYTEST) -m "docker and not spark" -s

# The image with Spark and Java is large, and takes its time to be built.
test-docker-spark: $(VENV)/.dev
	$(PYTEST) -m "docker and spark" -s

# A master and two workers on loopback, in processes of their own. Needs Java 17 or 21; skipped without it.
test-spark: $(VENV)/.dev $(VENV)/.spark
	$(PYTEST) -m "spark and not docker" -rs

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict docs/examples/client.py
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

# One machine and a cluster of two workers on the same data.
bench-spark: $(VENV)/.bench $(VENV)/.spark
	$(BIN)/python -m benchmarks.spark

# Published results beside ours. With Surprise (make bench installs it) its models run on the same folds too.
reproduce: $(VENV)/.train
	$(BIN)/python -m scripts.reproduce --data data

# One stamp per extra: what is installed is not installed again. (-qq: errors only; -q still shows build notes.)
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.train $(VENV)/.dev $(VENV)/.bench $(VENV)/.browser $(VENV)/.spark: $(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[$*]'
	@touch $@

$(VENV)/axe-core/package/axe.min.js: | $(VENV)/bin/python
	mkdir -p $(VENV)/axe-core
	if npm pack --silent --pack-destination $(VENV)/axe-core axe-core@$(AXE_VERSION); then \
		echo "$(AXE_SHA512)  $(VENV)/axe-core/axe-core-$(AXE_VERSION).tgz" | sha512sum --check --quiet && \
		tar --extract --touch --gzip --directory $(VENV)/axe-core --file $(VENV)/axe-core/axe-core-$(AXE_VERSION).tgz; \
	else echo "axe-core cannot be fetched from here: its test is skipped"; fi

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .hypothesis
