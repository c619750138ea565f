# The four words of the house; each makes what it needs, and can be run again at any time.
VENV := .venv/bin
V ?=

.PHONY: demo test lint bench confusion lock clean

demo: .venv/ready
	@$(VENV)/imagefactory setup $(V)
	@$(VENV)/imagefactory demo $(V)

test: .venv/ready lint
	@$(VENV)/pytest tests/unit -n 2
	@$(VENV)/imagefactory setup --tests $(V)
	@$(VENV)/imagefactory image build recipes/nest $(V)
	@$(VENV)/imagefactory image build recipes/pynn $(V)
	@$(VENV)/imagefactory image build recipes/spynnaker $(V)
	@$(VENV)/pytest tests/integration -n 2 --dist loadgroup --durations 10

lint: .venv/ready
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/shellcheck $$(git ls-files '*.sh') scripts/bootstrap .ci/run

bench: .venv/ready
	@$(VENV)/imagefactory setup $(V)
	@$(VENV)/python benchmarks/bench.py
	@IMAGEFACTORY_LIVES=600 IMAGEFACTORY_PULLS=2000 IMAGEFACTORY_RUNS=100 IMAGEFACTORY_CONTROLS=all $(VENV)/pytest -q -s tests/integration/test_lives.py tests/integration/test_staged_pulls.py tests/integration/test_many.py tests/integration/test_controls.py

confusion: .venv/ready
	@$(VENV)/imagefactory setup $(V)
	@$(VENV)/imagefactory image build recipes/nest --output build/nest.sif $(V)
	@$(VENV)/python benchmarks/confusion.py build/nest.sif

.venv/ready: scripts/bootstrap requirements.lock pyproject.toml
	@sh scripts/bootstrap
	@touch $@

clean:
	rm -rf .venv build

lock: .venv/ready
	@$(VENV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra develop --custom-compile-command "make lock" -o requirements.lock pyproject.toml
