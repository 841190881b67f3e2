# Two commands do everything on a fresh machine that has python3 with venv: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# Each stamp stands for one set of installed extras; the environment is shared.
DEMO_STAMP := .venv/.installed-runtime
TEST_STAMP := .venv/.installed-dev

.PHONY: demo test check gpu clean

demo: $(DEMO_STAMP)  ## deblur a moving test scene into demo.mp4, side by side with its input
	$(BIN)/edgedeblur run test://640x360 demo.mp4 --frames 120 --view side-by-side --force

test: $(TEST_STAMP) check  ## everything that CI runs
	$(BIN)/python -m pytest

check: $(TEST_STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

gpu:  ## what needs an NVIDIA GPU, with whatever this machine's python3 can import; installs nothing
	$(PYTHON) tests/gpu/checks.py

clean:
	rm -rf .venv build dist *.egg-info demo.mp4

.venv/bin/python:
	$(PYTHON) -m venv .venv

$(DEMO_STAMP): pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

# torch is pinned to a release with a CPU wheel for these tests: an open range pulls gigabytes of CUDA.
$(TEST_STAMP): pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0 --editable '.[dev]'
	$(BIN)/python tests/runtime/cuda_stub/install_pycuda.py
	touch $@
