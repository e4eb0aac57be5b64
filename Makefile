.PHONY: check format test slow-test cluster-test

check:
	ruff format --check .
	ruff check .
	mypy
	pytest -n 2 --dist loadfile

format:
	ruff format .
	ruff check --fix .

test:
	pytest -n 2 --dist loadfile

slow-test:
	pytest -m slow

cluster-test:
	pytest -m cluster
