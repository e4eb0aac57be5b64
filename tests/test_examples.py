"""The programs of examples/ run as they stand."""

import subprocess
import sys

import pytest
from command_line import ENVIRONMENT, ROOT

CALLS = {
    "new_part.py": "import new_part",
    "call_a_search.py": "import call_a_search; call_a_search.main(trials=2, epochs=1)",
    "own_training_loop.py": """
import tempfile, search, own_training_loop
folder = tempfile.mkdtemp() + "/run"
options = {"train": own_training_loop.train, "epochs": 2, "out": folder, "workers": 1}
run = search.search("500K", trials=1, baselines=False, **options)
assert run.description["settings"]["train"] == "own_training_loop:train"
again = search.resume(folder, trials=2)
assert [record.state for record in again.records] == ["complete"] * 2, again.records
assert [record.epochs for record in again.records] == [2, 2]
""",
}


@pytest.mark.slow  # several starts of Ray
@pytest.mark.parametrize("name", CALLS)
def test_an_example_runs(name, tmp_path):
    examples = ROOT / "examples"
    assert len((examples / name).read_text().splitlines()) < 40
    words = [str(examples / name)] if name == "new_part.py" else ["-c", CALLS[name]]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**ENVIRONMENT, "PYTHONPATH": f"{examples}:{ROOT}"}, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
