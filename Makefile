# `make run` and `make test` set up whatever is missing; nothing else is needed on a fresh Debian 12.
PYTHON := /usr/bin/python3
VENV := .venv
FOLDER := run/demo
BIND := 127.0.0.1:8080
# of the packages that `make test-packages` takes as they are
RELEASE :=

.PHONY: run test test-packages setup setup-test packages-run packages-test lint unit fuzz bench docs docs-generate man deb repo clean

run: setup
	exec $(VENV)/bin/x2gobroker demo --folder $(FOLDER) --bind $(BIND)

# what `make lint` says is among the tests: it takes one processor while they wait
test: setup-test
	$(VENV)/bin/python -m tests.rooms

# the Debian packages, installed, swapped, upgraded, removed and purged for real: as root, on Debian 12. It takes long.
# RELEASE=trixie: those of Debian 13, made there and put into dist/trixie; docs/architecture.md
test-packages: setup-test
	$(if $(RELEASE),,$(MAKE) --no-print-directory deb)
	scripts/debian-packages packages
	tests/packages/all.sh $(RELEASE)

lint: setup-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

unit: setup-test
	$(VENV)/bin/python -m pytest tests/unit tests/web

# the tests of properties with new examples, ten times as many
fuzz: setup-test
	$(VENV)/bin/python -m pytest --hypothesis-profile=new tests/unit

bench: setup-test
	$(VENV)/bin/python -m bench $(BENCH)

docs: setup-test
	$(VENV)/bin/python -m sphinx -W -q docs docs/_build

docs-generate: setup-test
	$(VENV)/bin/python docs/generate.py

# manual pages, for `man -l docs/_build/man/man1/x2gobroker.1` and for packages
man: setup-test
	$(VENV)/bin/python docs/man.py docs/_build/man

# Debian packages for the release of this machine, in dist/; docs/how-to/install.md
deb:
	scripts/debian-packages deb
	$(PYTHON) scripts/wheels fetch
	$(PYTHON) scripts/novnc
	scripts/deb build

# dist/RELEASE as a repository for apt
repo: deb
	scripts/deb repo

setup: $(VENV)/ready
	$(VENV)/bin/python scripts/novnc
	$(VENV)/bin/python scripts/languages

# Debian's packages and Python's come at the same time
setup-test:
	$(MAKE) --no-print-directory -j2 packages-test $(VENV)/ready-test
	$(VENV)/bin/python scripts/novnc
	$(VENV)/bin/python scripts/languages

packages-run:
	scripts/debian-packages run

packages-test: packages-run
	scripts/debian-packages test

$(VENV)/bin/python: | packages-run
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: setup.py pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

# with all that the other has, which so needs no run of its own
$(VENV)/ready-test: setup.py pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test,docs,postgresql]'
	touch $(VENV)/ready $@

clean:
	rm -rf $(VENV) run build dist wheels docs/_build *.egg-info x2gobroker/static/novnc x2gobroker/portal/languages/*.mo
