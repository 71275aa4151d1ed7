# asterisk-whatsapp: everything from a fresh checkout. Needs Python 3.11, make and, for the embedded Asterisk, apt.

PYTHON ?= python3
export PYTHON

# A checkout that we may not write (another user's) gets its environment and caches in our own cache folder.
ifeq ($(shell test -w . && echo yes),yes)
  VENV ?= .venv
else
  OURS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/asterisk-whatsapp/checkout-$(shell pwd | cksum | cut -d' ' -f1)
  VENV ?= $(OURS)/venv
  export RUFF_CACHE_DIR := $(OURS)/ruff
  export MYPY_CACHE_DIR := $(OURS)/mypy
  export HYPOTHESIS_STORAGE_DIRECTORY := $(OURS)/hypothesis
  export PYTHONPYCACHEPREFIX := $(OURS)/pycache
  export PYTEST_ADDOPTS := -o cache_dir=$(OURS)/pytest
endif
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo up test lint format bench clean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 15

demo: $(READY) ## a WhatsApp call from end to end, shown as it happens
	@$(BIN)/asterisk-whatsapp demo

up: $(READY) ## run everything on this machine until Ctrl-C
	@$(BIN)/asterisk-whatsapp up

# Most tests wait for real time, so more of them run at once than there are cores; WORKERS=0 runs them one by one.
WORKERS ?= 4

test: lint ## lint and all tests
	@$(BIN)/asterisk-whatsapp fetch
	@$(BIN)/asterisk-whatsapp fetch --browser || echo "The tests in a browser will be skipped."
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## put the code into its usual form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## CPU of the bridge per call, beside stock aiortc; queue decisions; call records at size; the console's pages
	@$(BIN)/python tests/bench/relay.py
	@$(BIN)/python tests/bench/outbound.py
	@$(BIN)/python tests/bench/queueing.py
	@$(BIN)/python tests/bench/queue_path.py
	@$(BIN)/python tests/bench/records.py
	@$(BIN)/python tests/bench/console.py
	@$(BIN)/python tests/bench/live_page.py

clean: ## remove the environment and what tools leave in the checkout; downloads stay in the cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis test-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml ari_app/runtime/bootstrap.sh
	@sh ari_app/runtime/bootstrap.sh $(VENV)
