"""The files of deploy/ are what their tools read, and call commands that exist."""

import json
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parent.parent / "deploy"
yaml = pytest.importorskip("yaml")


def options_of(text):
    """The long options of the search command in a text."""
    words = shlex.split(text.replace("\\\n", " ").replace("#", " "))
    start = next(i for i, w in enumerate(words) if w in ("search", "vit-frontier"))
    return {word for word in words[start:] if word.startswith("--")}


def known_options():
    import typer

    from search.commands.app import app

    return {o for p in typer.main.get_command(app).commands["search"].params for o in p.opts}


def test_the_cluster_launcher_file_fits_rays_schema():
    import ray
    from jsonschema import validate

    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    config = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    validate(config, json.loads(schema.read_text()))
    assert config["head_node_type"] in config["available_node_types"]


def test_the_ray_job_has_what_kuberay_requires():
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        assert isinstance(group["rayStartParams"], dict)
        container = group["template"]["spec"]["containers"][0]
        assert {"name", "image", "resources"} <= set(container)
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts <= {volume["name"] for volume in group["template"]["spec"]["volumes"]}
    assert options_of(job["spec"]["entrypoint"]) <= known_options()


def test_the_slurm_script_is_bash_and_calls_ray_symmetric_run():
    script = DEPLOY / "slurm.sh"
    assert subprocess.run([shutil.which("bash"), "-n", script], check=False).returncode == 0
    symmetric_run = pytest.importorskip("ray.scripts.symmetric_run").symmetric_run  # Ray 2.49
    known = {option for parameter in symmetric_run.params for option in parameter.opts}
    text = script.read_text().rpartition("ray symmetric-run")[2].partition("-- python")[0]
    used = {word for word in text.split() if word.startswith("--")}
    assert used - {"--num-cpus"} <= known


def test_what_ray_job_submit_uploads_of_a_checkout_stays_under_one_megabyte(tmp_path):
    from ray._private.runtime_env.packaging import create_package

    checkout, package = tmp_path / "checkout", tmp_path / "package.zip"
    left_out = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "build", "*.egg-info")
    shutil.copytree(DEPLOY.parent, checkout, ignore=left_out)
    for folder in ("runs/digits-2M/weights", ".git/objects", ".venv/lib", "tests/reference"):
        (checkout / folder).mkdir(parents=True, exist_ok=True)
        (checkout / folder / "large").write_bytes(bytes(2**20))
    create_package(str(checkout), package, include_gitignore=True, logger=None)
    names = zipfile.ZipFile(package).namelist()
    assert package.stat().st_size < 10**6
    assert {"search/__main__.py", "space/spaces/digits.toml", "results/report.html"} <= set(names)
    assert not [name for name in names if "large" in name]
