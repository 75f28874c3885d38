# The commands of a developer. `make train` and `make test` need Python >= 3.11 and nothing else: they build .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: help train test lint bench clean

help:
	@echo "make train   build $(VENV), then train, evaluate and compare the default agent"
	@echo "make test    build $(VENV), then lint, type check and test"
	@echo "make lint    ruff and mypy only"
	@echo "make bench   run every script in tests/bench"
	@echo "make clean   remove $(VENV), builds and caches (never runs/)"

# Made anew whenever what it holds may have changed, so that no package of an older set is left in it.
# The pins also keep pip from taking a newer torch than the one that was tested.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "offramp needs Python >= 3.11, '$(PYTHON)' is not one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch "$@"

train: $(STAMP)
	"$(BIN)/python" -m agents.train env=distprivacy

lint: $(STAMP)
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"

test: lint
	"$(BIN)/python" -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

bench: $(STAMP)
	@for script in tests/bench/*.py; do \
		[ -e "$$script" ] || { echo "tests/bench has no scripts" >&2; exit 1; }; \
		case "$$script" in */_*) continue ;; esac; \
		echo "== $$script"; "$(BIN)/python" "$$script" || exit 1; \
	done

clean:
	rm -rf "$(VENV)" build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find envs agents optimal inference conf tests -type d -name __pycache__ -prune -exec rm -rf {} +
