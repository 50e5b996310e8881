# Two commands do everything on a fresh machine: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3.11
UV_VERSION := 0.13.8
# Where torch's CPU wheels are, if your package index offers only CUDA builds: make demo TORCH_INDEX_URL=…
TORCH_INDEX_URL ?=

ROOT := $(CURDIR)
BIN := $(ROOT)/.venv/bin
LOCAL := $(ROOT)/.slipway

# What is set in the environment comes before these; connections and further settings stand in .env.
export AIRFLOW_HOME ?= $(LOCAL)/airflow
export AIRFLOW__CORE__DAGS_FOLDER ?= $(ROOT)/dags
export AIRFLOW__CORE__PLUGINS_FOLDER ?= $(ROOT)/plugins
export AIRFLOW__CORE__LOAD_EXAMPLES ?= False
export AIRFLOW__CORE__PARALLELISM ?= 4
export SLIPWAY_ROOT ?= $(ROOT)
export TOKENIZERS_PARALLELISM ?= true
# Tests make their own: they must never touch this installation's database and store.
SETTINGS := $(filter AIRFLOW% SLIPWAY_ROOT SLIPWAY_COLLECTIONS SLIPWAY_STORE SLIPWAY_PORT,$(.VARIABLES))

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo demo-upgrade test check bench-night bench-overhead bench-index bench-growth gate-power chaos conformance attack soak ceph up down lock clean bench-encoders

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: .venv/.installed .env ## install what Slipway needs to run into .venv

setup-dev: .venv/.installed-dev .env ## install what the checks and tests need as well

demo: setup ## build, judge and release an index of the installed packages' API documentation, and search it
	@$(BIN)/python -m slipway_demo.drive

demo-upgrade: setup ## upgrade the demo's model by Airflow under two readers, see two bad changes refused, roll back (a quarter of an hour)
	@env $(foreach name,$(SETTINGS),-u $(name)) $(BIN)/python -m slipway_demo.upgrade

# One thread each: two processes whose libraries take both cores each wait for one another, spinning.
test: setup-dev ## run all tests
	@env $(foreach name,$(SETTINGS),-u $(name)) OMP_NUM_THREADS=1 GOMP_SPINCOUNT=1000 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=10

check: setup-dev ## lint, types, architecture, Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

bench-night: setup-dev ## measure what a night costs, on Open English WordNet in ../shared/data/oewn (twenty minutes and more)
	@$(BIN)/python benchmarks/night.py $(if $(DATA),--data $(DATA))

bench-encoders: setup-dev ## measure our encoder backends beside stock sentence-transformers and fastembed: OPTIONS="--rounds 3"
	@$(BIN)/python benchmarks/encoders.py $(if $(DATA),--data $(DATA)) $(OPTIONS)

bench-overhead: setup-dev ## what the scheduler costs: the nightly DAG against `slipway run` on DOCUMENTS=100000 entries of ../shared/data/oewn, ROUNDS=1
	@$(BIN)/python benchmarks/overhead.py --documents $(or $(DOCUMENTS),100000) --rounds $(or $(ROUNDS),1) $(if $(DATA),--data $(DATA)) $(if $(ENCODER),--encoder $(ENCODER))

bench-index: setup-dev ## queries per second at a recall against hnswlib, usearch, FAISS and autofaiss, on ../shared/data/enwiki_paras (half an hour, and as much for the vectors the first time)
	@$(BIN)/python benchmarks/index.py $(if $(DATA),--data $(DATA)) $(if $(CACHE),--cache $(CACHE)) $(OPTIONS)

bench-growth: setup-dev ## how build, memory and latency grow from 25,000 to 1,000,000 vectors, on ../shared/data/enwiki_paras
	@$(BIN)/python benchmarks/growth.py $(if $(DATA),--data $(DATA)) $(if $(CACHE),--cache $(CACHE)) $(OPTIONS)

gate-power: setup-dev ## how often the gate of losses errs: RUNS=200 runs on equal systems, and with a loss, on ../shared/data/squad_dev
	@$(BIN)/python benchmarks/power.py --runs $(or $(RUNS),200) $(if $(DATA),--data $(DATA)) $(if $(SEED),--seed $(SEED))

chaos: setup-dev ## kill KILLS=50 runs at moments drawn with SEED, and compare how they end with undisturbed ones
	@$(BIN)/python benchmarks/chaos.py --kills $(or $(KILLS),50) $(if $(SEED),--seed $(SEED))

conformance: setup-dev ## race 8 processes for the same writes, ROUNDS=50 times on each of STORES=local,s3,ceph
	-@$(if $(findstring ceph,$(or $(STORES),ceph)),tools/install_ceph.sh)
	@$(BIN)/python benchmarks/conformance.py --rounds $(or $(ROUNDS),50) $(if $(STORES),--stores $(STORES))

attack: setup-dev ## spoil a release MUTATIONS=1000 times and run SEQUENCES=200 of the release protocol on a store that goes wrong
	@$(BIN)/python benchmarks/attack.py --mutations $(or $(MUTATIONS),1000) --sequences $(or $(SEQUENCES),200) $(if $(SEED),--seed $(SEED))

soak: setup-dev ## swap releases SWAPS=1000 times under readers that search without pause, on STORE=local or s3
	@$(BIN)/python benchmarks/soak.py --swaps $(or $(SWAPS),1000) $(if $(SEED),--seed $(SEED)) $(if $(STORE),--store $(STORE))

ceph: ## install Ceph's object gateway, a real S3 server for conformance and the tests, from the system's packages (root)
	@tools/install_ceph.sh

up: setup ## bring up Airflow with the demo collection and print the login
	@$(BIN)/python -m slipway_demo.up

down: ## stop what `make up` started
	@$(BIN)/python -m slipway_demo.up --down

lock: .venv/.installed ## compile requirements*.in into the pinned requirements*.txt
	@$(BIN)/uv pip compile -q --no-header --no-annotate --python-version 3.11 requirements.in -o requirements.txt
	@sed -i.bak 's/^\(torch==[0-9.]*\)+.*/\1/; /^nvidia-/d; /^cuda-/d; /^triton==/d' requirements.txt && rm requirements.txt.bak
	@$(BIN)/uv pip compile -q --no-header --no-annotate --python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean: ## remove the demo's store, database and logs (not .venv)
	@rm -rf $(LOCAL)

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || { echo "Slipway needs Python 3.11 or 3.12: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Installing into .venv (a minute or two; torch is the large one) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@# torch by pip, which reads pip's own configuration (an index or folder that offers the CPU build)
	@$(BIN)/pip install -q --disable-pip-version-check $$(grep '^torch==' requirements.txt) $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	@$(call install,-r requirements.txt)
	@$(call install,--no-deps -e .)
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@$(call install,-r requirements-dev.txt)
	@touch $@

# uv is several times faster, but knows nothing of pip's configuration: where it cannot reach an index, pip may. Compiled
# here, since every task's process would compile what it imports where Python may not write beside its packages.
define install
$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python $(1) 2>$(ROOT)/.venv/uv.log || $(BIN)/pip install -q --disable-pip-version-check $(1)
endef

.env:
	@printf '%s\n' '# Settings and connections of this installation, read by slipway, make demo and make up. Not in git.' \
	  'AIRFLOW_CONN_PYDOCS_DB=sqlite:///$(LOCAL)/demo/pydocs.db' > $@
