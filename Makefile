.PHONY: check format test slow-test fault-test cluster-test audit

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

fault-test:
	FAULTS_DONE=$${FAULTS_DONE-.faults-done} pytest -m faults

audit:
	pip-audit --local --progress-spinner off

cluster-test:
	pytest -m cluster
