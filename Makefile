# demo: look at it.  test: everything a change must pass.  check: style, types and layers only.  bench: figures.
# fuzz: a million random steps of the store beside its model, ten million cache keys; SEED=N repeats them.
# chaos: long campaigns against the promises, an hour (docs/reliability.md); SEED=N repeats one.
# soak: an hour of steady load, and whether anything grows; MINUTES=N for less.
# mutants: whether the tests notice mistakes in the store's Lua (half an hour).
# Each installs what it needs, once; `tools/setup.sh` says how. `clean` removes all of that again.

SETUP = tools/setup.sh
BIN = .venv/bin

.PHONY: demo test check bench fuzz chaos soak mutants setup clean

demo: .venv/.demo
	$(BIN)/jobkit demo

test: setup
	tools/test.sh

check: .venv/.dev js-client/node_modules/.installed
	tools/check.sh

bench: .venv/.bench
	$(BIN)/python -m benchmarks

fuzz: .venv/.dev
	$(BIN)/python -m tests.fuzz --steps 1000000 --jobs 2 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.fuzz.cache_keys --values 10000000 --jobs 2 $(if $(SEED),--seed $(SEED))

chaos: .venv/.dev
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED))

soak: .venv/.dev
	$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

mutants: .venv/.dev
	$(BIN)/python -m tests.mutation

setup: .venv/.dev js-client/node_modules/.installed
	$(SETUP) servers
	$(SETUP) browser

.venv/.demo: pyproject.toml
	$(SETUP) python .venv embedded,web
	@touch $@

.venv/.dev: pyproject.toml
	$(SETUP) python .venv dev
	@touch $@ .venv/.demo

.venv/.bench: pyproject.toml
	$(SETUP) python .venv dev,bench
	$(SETUP) apart arq
	@touch $@ .venv/.dev .venv/.demo

js-client/node_modules/.installed: js-client/package.json
	npm --prefix js-client install --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

clean:
	rm -rf .venv .tools .jobkit dist js-client/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
