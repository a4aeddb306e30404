# One command for each purpose; each sets up what it needs and may be repeated.
#   make fid         train on the embedded digits, sample, and measure the Frechet distance
#   make test        linters, types and the fast tests
#   make test-slow   the tests that take minutes
#   make docs        build the documentation site, site/index.html
#   make bench       measure speed and memory, and write benchmarks/RESULTS.md (on an idle machine)
#   make lock        renew requirements.lock from setup.cfg (needs uv)

VENV := .venv
RUN := $(VENV)/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: fid test test-slow docs bench lock clean

fid: $(VENV)/installed
	$(RUN) cli.py run --task EvaluateFID

test: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/installed
	$(RUN) -m pytest -m slow --timeout 1800

docs: $(VENV)/installed
	$(RUN) -m mkdocs build --strict
	@echo "site/index.html"

bench: $(VENV)/installed
	$(RUN) -m benchmarks

# The mark is made last: an installation that was interrupted is done again.
$(VENV)/installed: requirements.lock requirements-gpu.lock setup.cfg tools/find_python.sh
	@echo "Setting up $(VENV): about 2.4 GB, once" >&2
	"$$(sh tools/find_python.sh)" -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip  # that of older Pythons takes extras for unpinned
	$(RUN) -m pip install --quiet --require-hashes -r requirements.lock
	@if command -v nvidia-smi >/dev/null 2>&1; then \
	  $(RUN) -m pip install --quiet --require-hashes -r requirements-gpu.lock; fi
	$(RUN) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lock:
	uv pip compile setup.cfg --extra test --universal --python-version 3.9 --generate-hashes \
	  --no-header --no-annotate -o requirements.lock
	uv pip compile setup.cfg --extra gpu --universal --python-version 3.9 --generate-hashes \
	  --no-header --no-annotate | awk '/^[a-z]/ { keep = /^nvidia/ } keep' > requirements-gpu.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build *.egg-info
