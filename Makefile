.PHONY: check format test slow-test cluster-test

check:
	ruff format --check .
	ruff check .
	mypy
	pytest -n 2

format:
	ruff format .
	ruff check --fix .

test:
	pytest -n 2

slow-test:
	pytest -m slow

cluster-test:
	pytest -m cluster
