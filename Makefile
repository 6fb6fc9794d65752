# `make demo` and `make test` do everything, set-up included: Python 3.11 or newer and its venv
# module are all that must be there before.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROGRAMS := $(VENV)/.programs
WHEEL_VENV := build/venv

# The first Python here that is new enough and can make environments.
FIND_PYTHON = for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done
NO_PYTHON = { echo "modersmal needs Python 3.11 or newer with its venv module; on Debian and Ubuntu: sudo apt install python3 python3-venv" >&2; exit 1; }

.PHONY: demo test lint docs wheel bench chaos clean

demo: $(READY)
	$(BIN)/modersmal demo

# The page is tried in Chromium, the database in Postgres, too; espeak-ng speaks what is recorded;
# Caddy stands in front of the server in the house, whose scripts shellcheck reads.
# In the order they are in: files with few tests, which are long ones, would come last otherwise.
test: $(READY) $(PROGRAMS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python docs/generate.py

chaos: $(READY) $(PROGRAMS)
	$(BIN)/python -m pytest -m chaos --timeout 1800

# MODERSMAL_BENCH_DATA names the folder with the corpora that are measured on.
bench: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/alignment.py
	$(BIN)/python benchmarks/rehearsal.py
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/plan_cost.py
	if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
		then $(BIN)/python benchmarks/gpu_throughput.py; \
		else $(BIN)/python benchmarks/gpu_throughput.py --try; fi
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/contexts.py
	$(BIN)/python benchmarks/transcription.py
	$(BIN)/python benchmarks/checkpointing.py
	$(BIN)/python benchmarks/publish.py
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/release.py cost
	$(BIN)/python benchmarks/release.py whole
	$(BIN)/python benchmarks/release.py runtimes
	$(BIN)/python benchmarks/release.py heads
	$(BIN)/python benchmarks/restart.py --size bundled
	$(BIN)/python benchmarks/restart.py --size small --repeats 2
	$(BIN)/python benchmarks/geometry.py --folder build/geometry
	$(BIN)/python benchmarks/time_to_wer.py --folder build/time-to-wer --seeds 3
	$(BIN)/python benchmarks/recipe_quality.py --folder build/recipe-quality
	$(BIN)/python benchmarks/whole_job.py swedish
	$(BIN)/python benchmarks/whole_job.py digits
	$(BIN)/python benchmarks/launch.py

wheel: $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist

$(READY): pyproject.toml constraints.txt
	@python=$$($(FIND_PYTHON)); test -n "$$python" || $(NO_PYTHON); $$python -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

# Without root, or without apt, the tests that need a program that is missing say so and are skipped.
$(PROGRAMS): $(READY)
	@if command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium postgresql espeak-ng caddy shellcheck; \
	else echo "the tests use chromium, postgresql, espeak-ng, caddy, shellcheck where they are installed" >&2; fi
	touch $(PROGRAMS)

$(WHEEL_VENV):
	@python=$$($(FIND_PYTHON)); test -n "$$python" || $(NO_PYTHON); $$python -m venv $(WHEEL_VENV)
