# A fresh machine needs python3 and make. uv is installed into .cache; uv.lock has the versions of everything else.

UV_VERSION := 0.13.9
UV         := .cache/uv/bin/uv
RUN        := $(UV) run --frozen --no-sync
JAR        := src/aiquery/engines/spark/aiquery-spark.jar
OLDEST     := 4.0.1
DELTA      := io.delta:delta-spark_2.13:4.0.1 io.delta:delta-storage:4.0.1

.DEFAULT_GOAL := help
.PHONY: help demo test test-embedded test-statements test-parts test-spark test-interop test-fast test-python jar dist check audit format bench bench-quality docs clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | sort | expand -t 16

demo: $(UV)  ## a real model in the process classifies, extracts from and summarises a table of tickets
	UV_PROJECT_ENVIRONMENT=.cache/demo $(UV) run --quiet --frozen --no-default-groups --group model --extra local aiquery demo

test: .cache/synced $(JAR) .cache/spark-$(OLDEST)/synced  ## every test; offline but for loopback
	$(MAKE) --jobs=3 --output-sync=target test-statements test-parts test-spark

test-embedded: test-statements test-parts  ## every test without Spark

# The two halves take about the same time. They run side by side: many tests wait for processes and servers.
STATEMENTS := tests/duckdb tests/conformance tests/equivalence tests/updates tests/security

test-statements: .cache/synced $(JAR)  ## statements on DuckDB, their equivalence, updates and security
	$(RUN) pytest $(STATEMENTS) --ignore=tests/equivalence/test_spark_statements.py

test-parts: .cache/synced $(JAR)  ## the rest of the tests without Spark
	$(RUN) pytest --ignore=tests/spark $(addprefix --ignore=,$(STATEMENTS))

test-spark: .cache/synced $(JAR) .cache/spark-$(OLDEST)/synced  ## on the newest Spark and on the oldest, there with Delta
	$(RUN) python jvm/test.py
	$(RUN) python jvm/test.py --jars .cache/spark-$(OLDEST)/lib/python3.*/site-packages/pyspark/jars
	$(RUN) pytest tests/spark tests/conformance tests/equivalence/test_spark_statements.py --engine=spark
	.cache/spark-$(OLDEST)/bin/python -m pytest -W "ignore:unclosed <socket:ResourceWarning" tests/conformance --engine=spark \
		tests/spark/test_call_counts.py tests/spark/test_spark_waves.py tests/spark/test_spark_workloads.py tests/spark/test_same_rows.py tests/spark/test_same_requests.py

INTEROP := $(patsubst tests/interop/requirements/%.txt,%,$(wildcard tests/interop/requirements/*.txt))

test-interop: .cache/synced $(INTEROP:%=.cache/interop/%/synced)  ## real servers and clients of others; installs 1.7 GB
	$(RUN) pytest tests/interop

.cache/interop/%/synced: tests/interop/requirements/%.txt | $(UV)
	$(UV) venv --quiet --clear --python 3.11 $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python --requirement $<
	touch $@

test-fast: .cache/synced  ## without the local model, dbt, embeddings and Spark
	$(RUN) pytest -m "not embeddings and not local_model and not dbt and not spark"

test-python: $(UV)  ## the fast tests on another Python: make test-python PYTHON=3.13 [SKIP=conformance]
	UV_PROJECT_ENVIRONMENT=.cache/python-$(PYTHON) $(UV) sync --quiet --frozen --python $(PYTHON)
	.cache/python-$(PYTHON)/bin/python -m pytest -m "not embeddings and not local_model and not dbt and not spark" $(addprefix --ignore=tests/,$(SKIP) typing equivalence test_docs.py test_package.py test_sizes.py test_words.py updates/test_killed.py $(addprefix security/test_,memory.py terminal.py secrets.py stored_texts.py store_rows.py report_policy.py supply.py))

jar: $(JAR)  ## the Spark extension, with the Scala compiler that pyspark brings

$(JAR): jvm/build.py $(shell find jvm/src -name '*.scala') $(wildcard src/aiquery/functions/*.py) | .cache/synced
	$(RUN) python jvm/build.py

dist: $(JAR)  ## the wheel and the sdist, with the jar, in dist/
	$(UV) build

check: .cache/synced  ## format, lint, types, layers, words, sizes
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) pytest -q tests/test_sizes.py tests/test_words.py

audit: $(UV)  ## look for known vulnerabilities of the locked packages
	$(UV) audit --frozen --preview-features audit-command

format: .cache/synced  ## format the code and fix what the linter can fix
	$(RUN) ruff format
	$(RUN) ruff check --fix

bench: .cache/synced  ## every benchmark, each with the command to repeat it
	$(RUN) python benchmarks/duckdb_pipeline.py
	$(RUN) python benchmarks/client_cpu.py
	$(RUN) python benchmarks/scheduling.py
	$(RUN) python benchmarks/drain.py
	$(RUN) python benchmarks/faults.py
	$(RUN) python benchmarks/local_model.py
	$(RUN) python benchmarks/memory.py
	$(RUN) python benchmarks/embeddings.py
	$(RUN) python benchmarks/embedding_models.py
	$(RUN) python benchmarks/observing.py
	$(RUN) python benchmarks/spark.py
	$(RUN) python benchmarks/needed.py
	$(RUN) python benchmarks/peers/run.py

BANKING77 = ../shared/data/banking77_train.csv

bench-quality: .cache/synced  ## measure the functions on the local model; writes docs/quality.md
	$(RUN) python benchmarks/quality/run.py $(if $(wildcard $(BANKING77)),--banking77 $(BANKING77))

docs: .cache/synced  ## write the references and the type stubs from the code
	$(RUN) python scripts/generate.py

.cache/spark-$(OLDEST)/synced: .cache/synced
	UV_PROJECT_ENVIRONMENT=.cache/spark-$(OLDEST) $(UV) sync --quiet --frozen
	VIRTUAL_ENV=.cache/spark-$(OLDEST) $(UV) pip install --quiet --no-deps pyspark==$(OLDEST) delta-spark==$(OLDEST)
	$(RUN) python jvm/fetch.py .cache/delta/$(OLDEST) $(DELTA)
	$(RUN) python jvm/test.py --fetch-only
	touch $@

clean:  ## remove the environment and every cache
	rm -rf .cache .venv

$(UV):
	python3 -m venv .cache/uv
	.cache/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.cache/synced: pyproject.toml uv.lock $(UV)
	$(UV) sync --quiet --frozen --group embeddings
	PYRIGHT_PYTHON_CACHE_DIR=.cache/pyright PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) pyright --version
	touch $@
