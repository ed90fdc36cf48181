# Every command makes the .venv it needs.
#   make demo          train, attribute and report on real images -> demo/report.html
#   make test          lint, types and tests
#   make slow-tests    the tests that are marked slow
#   make test-peers    comparisons with Captum, SHAP, Quantus and PennyLane, which it installs
#   make docs          the documentation site -> build/site/index.html
#   make matrix        the tests on each supported Python and on the oldest packages
#   make wheel-check   build the wheel, install it outside the checkout and run the README's examples there
PYTHON ?= python3
BIN := .venv/bin
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test types tests slow-tests test-peers docs matrix wheel-check format accuracy studies benchmarks benchmarks-quick clean

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

# a warning, a broken link within the site, or an error in a tutorial fails the build
docs: .venv/with-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -b html docs build/site
	$(BIN)/python docs/check_links.py build/site
	@echo "The site is build/site/index.html: open it in a browser."

# every supported Python that is installed here, and the oldest supported packages
matrix: .venv/with-test
	$(BIN)/python -m pip install --quiet nox
	$(BIN)/python -m nox

wheel-check: .venv/with-test
	PYTHONPATH=tests/helpers $(BIN)/python tests/wheel/check_wheel.py

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

# pip compiles on one core, so that compileall does it, without the tests of other packages
.venv/with-%: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hattriq_cirq needs Python 3.11 or newer; name one: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile -e '.[$*]'
	-$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|_test\.py$$' .venv/lib
	touch $@

clean:
	rm -rf .venv demo runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
