# Every command makes the .venv it needs.
#   make demo          train, attribute and report on real images -> demo/report.html
#   make test          lint, types and tests
#   make slow-tests    the tests that are marked slow
#   make test-peers    comparisons with Captum, SHAP, Quantus and PennyLane, which it installs
#   make test-torch    the tests of devices on PyTorch in main memory, which it installs
#   make gpu           the tests that need a GPU, and a benchmark of it; without one it says so
#   make docs          the documentation site -> build/site/index.html
#   make matrix        the tests on each supported Python, on the oldest packages, and on pre-releases of Cirq, which may fail
#   make coverage      the tests with the share of lines and branches that they run; fails below the floor in pyproject.toml
#   make wheel-check   build the wheel, install it outside the checkout and run the README's examples there
#   make newcomer      the path of a newcomer, timed: clone, make demo, the first map of an own table
#   make constraints   the newest versions that the bounds in setup.cfg allow -> constraints.txt, which every command installs
PYTHON ?= python3
BIN := .venv/bin
REQUIREMENTS = --constraint constraints.txt --editable '.[$*]'
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test types tests slow-tests test-peers test-torch gpu docs matrix coverage wheel-check newcomer constraints format accuracy studies benchmarks benchmarks-quick clean

demo: demo/report.html
	@echo "The report is demo/report.html: open it in a browser."

demo/report.html: | .venv/with-data
	$(BIN)/hattriq demo --out demo

# types are checked beside the tests, because mypy uses one core and the first tests wait for files
test: .venv/with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(MAKE) --no-print-directory -j2 types tests

types: .venv/with-test
	$(BIN)/mypy

# each process takes half of the tests in their order, so that tests of one file share their fixtures, and helps the others at the end
tests: .venv/with-test
	$(BIN)/python -m pytest -n auto --dist worksteal

slow-tests: .venv/with-test
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

test-peers: .venv/with-peers
	HATTRIQ_PEERS=1 $(BIN)/python -m pytest -m peers

test-torch: .venv/with-test
	$(BIN)/python -m pip install --quiet nox
	$(BIN)/python -m nox --session torch

gpu: .venv/with-test .venv/with-gpu
	$(BIN)/python -m pytest -m gpu -rs
	$(BIN)/python -m benchmarks.gpu

# a warning, a broken link within the site, or an error in a tutorial fails the build
docs: .venv/with-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -b html docs build/site
	$(BIN)/python docs/check_links.py build/site
	@echo "The site is build/site/index.html: open it in a browser."

# every supported Python that is installed here, and the oldest supported packages; then pre-releases, which may fail
matrix: .venv/with-maintain
	$(BIN)/python -m nox
	-$(BIN)/python -m nox --session next

# one process for each core, and those that tests start, leave a file each beside pyproject.toml
coverage: .venv/with-maintain
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n auto --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

# for all supported versions of Python and all systems at once
constraints: .venv/with-test
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-annotate --custom-compile-command 'make constraints' \
		--extra test --extra docs setup.cfg --output-file constraints.txt

wheel-check: .venv/with-test
	PYTHONPATH=tests/helpers $(BIN)/python tests/wheel/check_wheel.py

newcomer:
	tests/wheel/newcomer.sh

format: .venv/with-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

accuracy: .venv/with-test
	$(BIN)/python -m experiments accuracy

# every study in full, as far as it is not done, and docs/results from what there is, also where a target is missed
studies: .venv/with-test
	$(BIN)/python -m experiments all; code=$$?; $(BIN)/python -m experiments page && exit $$code

benchmarks: .venv/with-bench
	$(BIN)/python -m benchmarks --page docs/speed.md

benchmarks-quick: .venv/with-bench
	$(BIN)/python -m benchmarks --quick

# uv installs in a quarter of pip's time; pip takes over where uv cannot be had or does not find the index that pip is set to.
# Both would compile on one core or everything, so that compileall does it, without the tests of other packages
.venv/with-%: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hattriq_cirq needs Python 3.11 or newer; name one: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $(REQUIREMENTS) \
		|| $(BIN)/python -m pip install --quiet --no-compile $(REQUIREMENTS)
	-$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|_test\.py$$' .venv/lib
	touch $@

clean:
	rm -rf .venv demo runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
