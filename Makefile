# Everything a fresh machine needs: Python 3.10 to 3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DOCS_INSTALLED := .venv/.docs-installed

.PHONY: install test proofs engines docs lint demo clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[html,plot,test]'
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/link_packages.py build/typing
	$(BIN)/mypy

# A process per core, up to eight, as each takes about 1 GB. Each begins with its part of the files, whose
# tests share runs; who is done takes tests from the end of another, so that none works alone at last.
test: lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

proofs: install
	$(BIN)/python -m pytest -m slow

engines: install
	$(BIN)/python -m pytest -m engine --numprocesses auto --maxprocesses 2 --dist worksteal \
		$(shell grep --recursive --files-with-matches --include='*.py' 'mark\.engine' tests)

# The site, in build/site. A warning is an error, and nothing is fetched. The variable silences an
# announcement of the theme.
docs: $(DOCS_INSTALLED)
	$(BIN)/python tests/link_packages.py build/typing
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

demo: install
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/japanese_vowels/demo.sh build/demo

clean:
	rm -rf build dist *.egg-info
