# The words a user needs: generate, test. For developers: check, bench, and the longer tests.
PYTHON ?= python3
BIN := .venv/bin

MODELS ?= $(HOME)/.cache/selfinstruct-test-models

.PHONY: generate test docs test-slow test-browser test-trainers test-prefect test-vllm test-ray test-models coverage check bench prompts proof soak clean

generate: .venv/installed  ## grow outputs/demo to 200 tasks with the built-in model, and export it
	@$(BIN)/python -m selfinstruct generate --pool outputs/demo --target 200

test: .venv/installed-dev  ## run the test suite
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile

test-slow: .venv/installed-dev  ## the tests that take minutes
	@$(BIN)/python -m pytest -q -n 2 -m slow

test-browser: .venv/installed-browser  ## the report and the page of review in a real Chromium, which is installed if root can; screenshots in tests/browser/screenshots
	@tests/browser/get_chromium.sh
	@$(BIN)/python -m pytest -q -m browser tests/browser

test-prefect: .venv/installed-dev  ## scheduled growth by a real Prefect, and by its oldest and newest that may be used: two environments of 0.3 GB
	@$(BIN)/python -m pytest -q -m worker tests/prefect --ignore tests/prefect/test_schedule.py
	@for end in oldest newest; do tests/prefect/build_env.sh $$end && \
	  .venv-prefect/$$end/bin/python -m pytest -q -m worker tests/prefect/test_schedule.py || exit 1; done

coverage: .venv/installed-dev  ## the test suite with branch coverage
	@$(BIN)/python -m pytest -q --cov --cov-report=term-missing:skip-covered

docs: .venv/installed-docs  ## the site, in site/; a broken link or a name that is not there ends it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: .venv/installed-dev  ## style, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-trainers: .venv/installed  ## real trainers on real exports, without GPU, also with a real small model: an environment of 1.5 GB
	@tests/trainers/build_env.sh .venv-trainers
	@.venv-trainers/bin/python tests/models/fetch.py $(MODELS) smollm2
	@REAL_MODELS=$(MODELS) SELFINSTRUCT_PYTHON=$(CURDIR)/$(BIN)/python OMP_NUM_THREADS=1 .venv-trainers/bin/python -m pytest -q tests/trainers

test-vllm: .venv/installed-dev  ## the server that is started for you, on a real vLLM without GPU: an environment of 2.3 GB
	@tests/vllm/build_env.sh .venv-vllm
	@SELFINSTRUCT_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest -q tests/vllm

test-ray: .venv/installed-dev  ## a run on a real Ray Serve without GPU, whose replicas come, go and die: an environment of 0.5 GB
	@tests/ray/build_env.sh .venv-ray
	@RAY_PYTHON=$(CURDIR)/.venv-ray/bin/python $(BIN)/python -m pytest -q tests/ray

test-models: .venv/installed-dev  ## real models of some hundred million parameters, through the real vLLM; kept in MODELS
	@tests/vllm/build_env.sh .venv-vllm
	@.venv-vllm/bin/python tests/models/fetch.py $(MODELS) smollm2 gemma
	@REAL_MODELS=$(MODELS) SELFINSTRUCT_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python -m pytest -q tests/models

bench: .venv/installed-dev  ## all figures in one table, each beside an anchor of the same run: benchmarks/results/table.md
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/prefect_overhead.py
	$(BIN)/python benchmarks/decontamination.py

prompts: .venv/installed-dev  ## how the built-in prompts do on the server at URL=...
	@$(BIN)/python benchmarks/prompts.py --base-url $(URL)

proof: .venv/installed-dev  ## fine-tune the base model BASE on seeds, on a pool grown by the server at URL, and on its answers unfiltered
	@tests/trainers/build_env.sh .venv-trainers
	@SELFINSTRUCT_TRAINER_PYTHON=$(CURDIR)/.venv-trainers/bin/python $(BIN)/python benchmarks/proof.py --base-url $(URL) --base $(BASE) --work outputs/proof

soak: .venv/installed-dev  ## the long tests with their full counts: an hour
	@tests/vllm/build_env.sh .venv-vllm
	SELFINSTRUCT_VLLM_PYTHON=$(CURDIR)/.venv-vllm/bin/python $(BIN)/python benchmarks/soak.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "selfinstruct needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -c constraints.txt -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -c constraints.txt -e '.[dev]'
	@touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -c constraints.txt -e '.[docs]'
	@touch $@

.venv/installed-browser: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location -c constraints.txt -e '.[browser]'
	@touch $@

clean:  ## remove the environment and caches; pools stay
	rm -rf .venv .venv-prefect .pytest_cache .mypy_cache .ruff_cache .hypothesis
