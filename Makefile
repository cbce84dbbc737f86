# The everyday commands. Each calls a script or a module that also runs without make.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-trust demo-memory run test check lint sim bench bench-answers \
  bench-retrieval docs format lock clean

RUN := .venv/bin/python
SEEDS ?= 1 2 3
NODES ?= 50
SCENARIO ?= partition

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv: the dependencies and this checkout, nothing outside the folder
	@scripts/setup.sh

demo: setup ## Three spores share real notes and answer from them (NOTES=folder of .md and .txt)
	$(RUN) scripts/demo.py $(if $(NOTES),"$(NOTES)")

demo-trust: setup ## Three spores whose models differ in skill: trust separates, answers improve, as a picture
	$(RUN) -m scripts.demo_trust $(ARGS)

demo-memory: setup ## Recall, live, while an index grows to N=1000000 generated memories
	$(RUN) -m scripts.demo_memory $(if $(N),--memories $(N)) $(ARGS)

run: setup ## Start one spore (ARGS="--port 8000 --peers http://…")
	$(RUN) spore.py $(ARGS)

test: lint ## Everything that CI gates on
	$(RUN) -m pytest -m "not slow"

check: lint ## What to run before every change: lint and the fast tests
	$(RUN) -m pytest -m "not slow" tests/unit tests/laws

lint: setup ## Format, ruff, types and import contracts; changes nothing
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	.venv/bin/lint-imports

sim: setup ## Simulate swarms (SEEDS="1 2 3" NODES=200 SCENARIO=partition)
	@for seed in $(SEEDS); do \
	  $(RUN) -m synapse sim --nodes $(NODES) --seed $$seed --scenario $(SCENARIO) || exit 1; \
	done

bench: setup ## Measure this machine (ARGS="spore --memories 100000")
	$(RUN) -m benchmarks $(ARGS)

bench-answers: setup ## Figures of docs/evidence.md (DATA=recorded-answers.json.gz LAYERS=replay,solvers)
	$(RUN) -m benchmarks.answers.report $(if $(LAYERS),--layers $(LAYERS)) $(if $(DATA),--data "$(DATA)")

bench-retrieval: setup ## Recall by size and engine (SIZES=10000,1000000 ENGINES=synapse,tantivy)
	$(RUN) -m benchmarks retrieval $(if $(SIZES),--sizes $(SIZES)) $(if $(ENGINES),--engines $(ENGINES)) $(ARGS)

docs: setup ## Write the generated documents and config.template.yaml anew
	$(RUN) -m scripts.docs

format: setup ## Format, and fix what ruff can fix
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

lock: setup ## Write the lock files anew from pyproject.toml
	scripts/lock.sh

clean: ## Remove what make made: .venv, caches, build products; never data
	rm -rf .venv build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
