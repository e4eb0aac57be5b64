"""A search whose networks learn from a teacher: what it asks for, tells, keeps and resumes."""

import json
import shutil

import pytest
import torch
from command_line import call, call_here
from rich.console import Console
from safetensors.torch import load_file, save, save_file

from results import load_run, render_report
from results.export import write_model
from search.cluster.worker import ProxyTrainable
from search.plan import plan_resume, plan_search
from search.study.run_folder import new_run
from search.teaching import lessons, teacher_text
from space import Architecture, build_model, count_flops
from trainers.teacher import Teacher

ASKED = {"budget": "700K", "data": "digits", "train_samples": 64, "val_samples": 32, "epochs": 1}
NETWORK = {
    "img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 1,
    "num_heads": 2, "mlp_ratio": 2,
}  # fmt: skip
DIGITS = [str(digit) for digit in range(10)]


def save_teacher(folder, names=DIGITS):
    """A folder as export writes it, of a network with random weights."""
    torch.manual_seed(0)
    a = Architecture.from_dict({**NETWORK, "num_classes": len(names)})
    how = {"mean": [0.3], "std": [0.35], "interpolation": "bicubic", "label_names": names}
    write_model(folder, a, save(build_model(a).state_dict()), how=how, told={})
    return folder


def planned(teacher, tmp_path, **rest):
    asked = {**ASKED, "teacher": str(teacher), "out": str(tmp_path / "run"), **rest}
    return plan_search(asked, Console(quiet=True), claim=False)


def told(plan):
    return teacher_text(plan.teacher, plan.settings, plan.recipe, plan.dataset)


def test_the_plan_names_the_teacher_and_its_cost_is_told(tmp_path):
    plan = planned(save_teacher(tmp_path / "teacher"), tmp_path)
    assert plan.settings.teacher == str(tmp_path / "teacher")
    assert told(plan) == (
        f"Every network learns from {tmp_path / 'teacher'} (9.888K FLOPs an image), which sees the "
        "training images once: 632.8K FLOPs, counted as of the search."
    )
    beside = planned(tmp_path / "teacher", tmp_path, augment="crop")
    assert "runs beside each training: up to 22.78M FLOPs, counted" in told(beside)
    file = planned(tmp_path / "teacher" / "model.safetensors", tmp_path)
    assert file.teacher.fingerprint() == plan.teacher.fingerprint()


def test_workers_get_logits_or_the_teacher_and_learn_from_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = planned(save_teacher(tmp_path / "teacher"), tmp_path)
    quiet = Console(quiet=True)
    logits = lessons(plan.teacher, plan.recipe, plan.dataset, quiet)
    assert logits.shape == (64, 10)
    assert len(list((tmp_path / "cache").rglob("logits-*.npy"))) == 1
    augmented = planned(tmp_path / "teacher", tmp_path, augment="crop")
    beside = lessons(augmented.teacher, augmented.recipe, augmented.dataset, quiet)
    assert isinstance(beside, Teacher)
    assert lessons(None, plan.recipe, plan.dataset, quiet) is None

    def train_loss(taught):
        worker = ProxyTrainable.__new__(ProxyTrainable)
        trial = {"trial": 0, "architecture": NETWORK, "seed": 1}
        worker.setup(trial, dataset=plan.dataset, recipe=plan.recipe, teacher=taught)
        return worker.step()["train_loss"]

    alone = train_loss(None)
    assert train_loss(logits) == pytest.approx(train_loss(beside), rel=1e-5)
    assert train_loss(logits) != pytest.approx(alone, rel=1e-3)


def test_a_run_is_resumed_with_the_same_teacher_alone(tmp_path):
    folder = save_teacher(tmp_path / "teacher")
    plan = planned(folder, tmp_path)
    run = new_run(plan.settings, plan.dataset, plan.recipe, ["x"], None, plan.teacher)
    known = json.loads((run / "run.json").read_text())
    assert known["settings"]["teacher"] == str(folder)
    assert (known["teacher"]["flops"], known["teacher"]["beside"]) == (
        count_flops(Architecture.from_dict(NETWORK)),
        False,
    )
    again = plan_resume(run, {}, Console(quiet=True))
    assert again.teacher.fingerprint() == plan.teacher.fingerprint()
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"] += 1
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match="must be resumed with the teacher it began with"):
        plan_resume(run, {}, Console(quiet=True))
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=r"`--teacher` \(='.*/teacher'\) is not there: restore it"):
        plan_resume(run, {}, Console(quiet=True))


def test_a_teacher_of_other_classes_ends_in_a_sentence(tmp_path, monkeypatch, capsys):
    words = ("search", "--budget", "700K", "--train-samples", 64, "--dry-run", "--teacher")
    seven = save_teacher(tmp_path / "seven", DIGITS[:7])
    code, said = call_here(monkeypatch, capsys, *words, seven)
    assert (code, "must tell the 10 classes of the images apart" in said) == (2, True), said
    turned = save_teacher(tmp_path / "turned", DIGITS[::-1])
    with pytest.raises(ValueError, match=r"where they have '0', '.*/turned' has '9'"):
        planned(turned, tmp_path)
    asked = {**ASKED, "teacher": "resnet18", "out": str(tmp_path / "run")}
    with pytest.raises(ValueError, match=r"`--teacher` .* must not be given beside `train`"):
        plan_search(asked, Console(quiet=True), claim=False, train="json:dumps")


@pytest.mark.slow
def test_a_whole_search_learns_from_a_trial_of_another(tmp_path):
    words = [
        word for name, value in ASKED.items() for word in (f"--{name.replace('_', '-')}", value)
    ]
    length = ("--trials", 2, "--workers", 1, "--no-early-stopping", "--seed", 1)
    runs = [tmp_path / name for name in ("first", "taught")]
    assert call("search", *words, *length, "--out", runs[0]).returncode == 0
    teacher = f"{runs[0]}:best"
    done = call("search", *words, *length, "--teacher", teacher, "--out", runs[1])
    assert done.returncode == 0, done.stderr
    alone, taught = map(load_run, runs)
    assert "Every network learns from" in done.stdout
    assert [r.architecture for r in taught.records] == [r.architecture for r in alone.records]
    losses = [[r.curve[-1].train_loss for r in run.records] for run in (alone, taught)]
    assert losses[0] != losses[1]
    number = alone.front[-1].trial
    assert taught.asked("teacher") == f"{runs[0]}:{number}"
    assert f"Every network learnt from {runs[0]}:{number}" in render_report(taught)
    done = call("resume", runs[1], "--trials", 3)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(runs[0])
    done = call("resume", runs[1], "--trials", 4)
    assert done.returncode == 2
    assert f"{str(runs[0])!r} is not there" in done.stderr + done.stdout
