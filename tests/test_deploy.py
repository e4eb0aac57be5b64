"""The files of deploy/ are what their tools read, and call commands that exist."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
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


def test_the_cluster_launcher_installs_what_the_project_depends_on():
    config = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    words = shlex.split(config["setup_commands"][-1])
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[>]", word)[0] for word in project["dependencies"]}
    assert words[:2] == ["pip", "install"]
    assert {re.split(r"[\[>]", word)[0] for word in words[2:]} == names
    assert set(project["dependencies"]) - {"ray[tune]>=2.45"} <= set(words)


def test_every_ray_that_is_started_asks_for_a_token():
    config = yaml.safe_load((DEPLOY / "cluster.yaml").read_text())
    for name in ("head", "worker"):
        starts = [c for c in config[f"{name}_start_ray_commands"] if "ray start" in c]
        assert [c.split()[0] for c in starts] == ["RAY_AUTH_MODE=token"]
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"]
    cluster = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52)  # else KubeRay refuses


def test_the_image_of_the_ray_job_is_what_the_dockerfile_builds():
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    instructions = [line.split() for line in lines]
    assert {words[0] for words in instructions} <= {"FROM", "RUN", "COPY", "USER", "WORKDIR"}
    assert instructions[0][0] == "FROM"
    copied = [word for words in instructions if words[0] == "COPY" for word in words[1:-1]]
    assert all((DEPLOY.parent / path).exists() for path in copied)
    assert {"space", "trainers", "results", "search", "pyproject.toml"} <= set(copied)
    cluster = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    (image,) = {pod["containers"][0]["image"] for pod in pods}
    assert f"-t {image} " in text
    assert image.endswith(f":{project['version']}")
    extras = re.search(r'"/build\[(.*)\]"', text)[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert f"ray[default,tune]=={cluster['rayVersion']}" in text
    user = next(words[1] for words in instructions if words[0] == "USER")
    assert {str(pod["securityContext"]["runAsUser"]) for pod in pods} == {user}


def slurm_job(folder, srun):
    """Runs slurm.sh with stand-ins for SLURM's commands: its exit code and what it said."""
    for name, text in {"scontrol": "echo here", "srun": srun}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "here", "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "1"}
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [shutil.which("bash"), DEPLOY / "slurm.sh", "--budget", "1M"], cwd=folder, check=False,
        env={**os.environ, **slurm, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_the_token_of_a_slurm_job_is_its_users_alone_and_gone_at_the_end(tmp_path):
    seen = tmp_path / "seen"
    srun = (
        f'echo "$RAY_AUTH_MODE $(stat -c %a "$RAY_AUTH_TOKEN_PATH") '
        f'$(wc -c < "$RAY_AUTH_TOKEN_PATH")" > {seen}; touch "$BEGUN"'
    )
    assert slurm_job(tmp_path, srun) == (0, "")
    assert seen.read_text() == "token 600 64\n"
    assert list(tmp_path.glob(".ray-token-*")) == []


def test_a_slurm_job_whose_ray_did_not_start_fails(tmp_path):
    """`ray symmetric-run` ends with 0 then."""
    assert slurm_job(tmp_path, "true") == (1, "Error: Ray did not start, see above\n")
    assert list(tmp_path.glob(".ray-token-*")) == []


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
    text = script.read_text().rpartition("ray symmetric-run")[2].partition("-- bash")[0]
    used = {word for word in text.split() if word.startswith("--")}
    assert used - {"--num-cpus"} <= known


def test_what_ray_job_submit_uploads_of_a_checkout_is_code_alone(tmp_path):
    from ray._private.runtime_env.packaging import create_package

    checkout, package = tmp_path / "checkout", tmp_path / "package.zip"
    left_out = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "build", "*.egg-info")
    shutil.copytree(DEPLOY.parent, checkout, ignore=left_out)
    for folder in ("runs/digits-2M/weights", ".git/objects", ".venv/lib", "tests/reference"):
        (checkout / folder).mkdir(parents=True, exist_ok=True)
        (checkout / folder / "large").write_bytes(bytes(2**20))
    create_package(str(checkout), package, include_gitignore=True, logger=None)
    names = zipfile.ZipFile(package).namelist()
    assert package.stat().st_size < 1_500_000
    assert {"search/__main__.py", "space/spaces/digits.toml", "results/report.html"} <= set(names)
    assert not [name for name in names if "large" in name]
