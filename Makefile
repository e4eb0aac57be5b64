.PHONY: check format test slow-test cluster-test

check:
	ruff format --check .
	ruff check .
	mypy
	pytest

format:
	ruff format .
	ruff check --fix .

test:
	pytest

slow-test:
	pytest -m slow

cluster-test:
	pytest -m cluster
