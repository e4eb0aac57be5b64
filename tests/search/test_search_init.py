"""A search that begins from a pretrained network: what it asks for, keeps, resumes and exports."""

import json
from pathlib import Path

import pytest
from command_line import call
from donors import save_donor_of_digits
from rich.console import Console
from safetensors.torch import load_file, save_file

from results import load_run, render_report
from search.plan import plan_resume, plan_search
from search.pretrained import fitted_space
from search.study.run_folder import new_run

ASKED = {"budget": "700K", "data": "digits", "train_samples": 128, "epochs": 1}


@pytest.fixture(scope="module")
def donor(tmp_path_factory):
    return save_donor_of_digits(tmp_path_factory.mktemp("donor"), epochs=1)


@pytest.fixture(scope="module")
def good_donor(tmp_path_factory):
    return save_donor_of_digits(tmp_path_factory.mktemp("good"))


def planned(donor, tmp_path, **rest):
    asked = {**ASKED, "init": donor, "out": str(tmp_path / "run"), **rest}
    return plan_search(asked, Console(quiet=True), claim=False)


def test_the_search_follows_from_the_donor(donor, tmp_path):
    plan = planned(donor, tmp_path)
    space = plan.settings.space
    assert (space.patch_size, space.embed_dim, space.depth) == ((4,), (32,), (1, 2, 3, 4))
    assert (space.img_size, space.head, space.keep) == (
        (8, 12, 16),
        ("token",),
        ("evenly", "first"),
    )
    assert plan.dataset.img_size == 16
    assert (plan.dataset.mean, plan.dataset.std) == (plan.donor.mean, plan.donor.std)
    assert plan.recipe.layer_decay < 1


def test_another_image_size_may_be_asked_for(donor, tmp_path):
    assert planned(donor, tmp_path, img_size=8).settings.space.img_size == (8,)


def test_a_space_or_a_training_loop_beside_a_donor_is_refused(donor, tmp_path):
    with pytest.raises(ValueError, match=r"`--init` .* must not be given beside `space`"):
        planned(donor, tmp_path, space="digits")
    asked = {**ASKED, "init": donor, "out": str(tmp_path / "run")}
    with pytest.raises(ValueError, match=r"`--init` .* must not be given beside `train`"):
        plan_search(asked, Console(quiet=True), claim=False, train="json:dumps")


def test_a_donor_of_other_channels_is_refused(donor):
    from space import SearchSpace
    from trainers import read_donor

    class Images:
        img_size, in_chans, num_classes = 16, 2, 10

    with pytest.raises(ValueError, match="must have 3 channels or those of the images, 2, but"):
        fitted_space(SearchSpace.load("digits"), Images(), read_donor(donor))


def test_what_is_no_donor_is_told_before_the_images_are_read(tmp_path, monkeypatch):
    from search import plan

    monkeypatch.setattr(plan, "_load", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"`--init` \(='nothing'\) cannot be used"):
        planned("nothing", tmp_path)


def test_a_run_is_resumed_from_the_same_weights_alone(donor, tmp_path):
    import shutil

    copy = Path(shutil.copytree(donor, tmp_path / "copy"))
    plan = planned(str(copy), tmp_path)
    run = new_run(plan.settings, plan.dataset, plan.recipe, ["x"], plan.donor)
    again = plan_resume(run, {}, Console(quiet=True))
    assert again.settings == plan.settings
    assert again.recipe == plan.recipe
    assert again.donor.fingerprint() == plan.donor.fingerprint()
    weights = load_file(copy / "model.safetensors")
    weights["head.bias"] += 1
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(ValueError, match="must be resumed from the weights it began with"):
        plan_resume(run, {}, Console(quiet=True))


@pytest.fixture(scope="module")
def finished(good_donor, tmp_path_factory):
    """A small search from the donor, and what the command printed."""
    out = tmp_path_factory.mktemp("runs") / "tuned"
    words = [
        word for name, value in ASKED.items() for word in (f"--{name.replace('_', '-')}", value)
    ]
    length = ("--trials", 5, "--workers", 1, "--no-early-stopping", "--seed", 1)
    return out, call("search", *words, *length, "--init", good_donor, "--out", out)


@pytest.mark.slow
def test_a_search_from_a_donor_trains_its_blocks_within_the_budget(finished, good_donor):
    out, done = finished
    assert done.returncode == 0, done.stderr
    assert f"begins from the weights of {good_donor}" in done.stdout
    run = load_run(out)
    assert len(run.records) == 5
    assert {record.state for record in run.records} == {"complete"}
    assert all(record.flops <= 700_000 for record in run.records)
    assert all(record.architecture.donor_blocks is not None for record in run.records)
    assert run.front[-1].accuracy > 0.6  # after one epoch of 128 images


@pytest.mark.slow
def test_the_report_and_an_export_name_the_donor(finished, good_donor, monkeypatch, capsys):
    import timm
    import torch
    from command_line import call_here

    import space.model  # noqa: F401  registers vit_frontier

    out, _ = finished
    run = load_run(out)
    assert f"Every network began from the weights of {good_donor}." in render_report(run)
    folder = out.parent / "exported"
    assert call_here(monkeypatch, capsys, "export", f"{out}:best", "--out", folder)[0] == 0
    config = json.loads((folder / "config.json").read_text())
    assert config["vit_frontier"]["init"] == good_donor
    assert config["vit_frontier"]["donor_blocks"] == list(run.front[-1].architecture.donor_blocks)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    size = run.front[-1].architecture.img_size
    assert model(torch.zeros(1, 1, size, size)).shape == (1, 10)


@pytest.mark.slow
def test_a_search_from_a_donor_goes_on(finished):
    out, _ = finished
    done = call("resume", out, "--trials", 7)
    assert done.returncode == 0, done.stderr
    assert len(load_run(out).records) == 7
