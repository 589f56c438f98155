# `make demo` and `make test` set up what they need on a machine that has Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
unexport PYTHONDONTWRITEBYTECODE  # where it is set, every process compiles all that it imports: seconds each

# Large pages, see jaxuq.use_huge_pages.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-all mutants lint format docs docs-check bench race parity certificate soak constraints clean

help:  ## show what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"jaxuq needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[all]' --group test --group lint
	@touch $@

demo: $(READY)  ## benchmark uncertainty methods on 1,128 real molecules; under five minutes
	$(BIN)/jaxuq muben --dataset esol --backbone dnn --methods all --seeds 2 --members 5 --split scaffold --output runs/demo

PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0
UNAVAILABLE := not oracle$(if $(JAXUQ_DATA),, and not data)

test: $(READY)  ## tests and examples, half an hour on two cores: all but the long ones
	$(PYTEST) -m "not long and $(UNAVAILABLE)"

$(VENV)/.cluster: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[cluster]'
	@touch $@

test-all: $(VENV)/.cluster  ## every test, example and notebook, Ray's too; twenty minutes more
	$(PYTEST) -m "$(UNAVAILABLE)"

$(VENV)/.mutants: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group mutants
	@touch $@

mutants: $(VENV)/.mutants  ## do the tests fail when an operator is wrong? random mutants of the array rooms; an hour
	$(BIN)/python experiments/mutants.py

certificate: $(READY)  ## make the printed numbers again and compare, line by line; what takes minutes (more: --part hours)
	$(BIN)/python experiments/certificate/certificate.py

MINUTES ?= 60

soak: $(READY)  ## damaged files, kills, worlds, devices, the wheel: an hour, or MINUTES=480; what fails is in runs/soak
	$(BIN)/python experiments/soak/soak.py --minutes $(MINUTES)

lint: $(READY)  ## style, types, hooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --threads 2 --pythonpath $(BIN)/python

format: $(READY)  ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.docs: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group docs
	@touch $@

docs: $(VENV)/.docs  ## the site, into site/: open site/index.html; warnings and broken links are errors
	$(BIN)/mkdocs build --quiet --config-file docs/mkdocs.yml

docs-check: $(READY)  ## examples in docstrings, README and notebooks run; every public name is documented
	$(PYTEST) jaxuq tests/test_readme.py tests/test_notebooks.py tests/test_protocol.py -k "not jit and not vmap and not sharded"

.venv-peers/.ready: experiments/benchmarks/peers.txt pyproject.toml $(READY)
	$(PYTHON) -m venv .venv-peers
	$(BIN)/uv pip install --quiet --python .venv-peers/bin/python --editable '.[all]' --requirement $<
	@touch $@

race: .venv-peers/.ready  ## peers and jaxuq in turn, ratios with their spread: experiments/benchmarks/race.md
	$(BIN)/python experiments/benchmarks/race.py

bench: $(READY)  ## speed and memory against peers; prints ratios
	$(BIN)/python experiments/benchmarks/ensemble.py
	$(BIN)/python experiments/benchmarks/memory.py
	$(BIN)/python experiments/benchmarks/hmm.py
	$(BIN)/python experiments/benchmarks/decode.py
	$(BIN)/python experiments/benchmarks/serve.py
	$(BIN)/python experiments/benchmarks/confidence.py
	$(BIN)/python experiments/benchmarks/tagging_epoch.py
	$(BIN)/python experiments/benchmarks/gradients.py
	$(BIN)/python experiments/benchmarks/experts.py
	$(BIN)/python experiments/benchmarks/tune.py
	$(BIN)/python experiments/benchmarks/backbones.py

parity: $(READY)  ## oracles that need PyTorch, in an environment of their own
	$(PYTHON) -m venv .venv-parity
	$(BIN)/uv pip install --quiet --python .venv-parity/bin/python --constraint constraints.txt --editable '.[all]' --group test --group parity
	.venv-parity/bin/python -m pytest tests -m oracle
	.venv-parity/bin/python experiments/benchmarks/ensemble.py

constraints: $(READY)  ## make constraints.txt again: names and versions, no address
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url --upgrade --python-version 3.11 \
		--all-extras --group test --group lint --group mutants pyproject.toml --output-file constraints.txt

clean:  ## remove the environment and caches
	rm -rf $(VENV) .venv-parity .venv-peers .cache .pytest_cache .ruff_cache
