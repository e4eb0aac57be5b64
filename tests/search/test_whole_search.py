"""Whole searches with a real Ray, through the command line as a user calls it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from command_line import ENVIRONMENT, ROOT, call, call_here, command, wait_for

from results import load_run, pareto_front
from space import count_flops

BALANCED_EPOCHS = 7  # of digits
FILES = (
    "run.json study.db report.html frontier.json frontier.csv trials.csv frontier.svg frontier.png"
)


def small_search(out, *words, length=("--epochs", "2")):
    return (
        "--budget", "1M", *length, "--train-samples", "128", "--seed", "1", "--out", out, *words,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One small search, finished: its folder and what the command printed."""
    out = tmp_path_factory.mktemp("runs") / "small"
    return out, call("search", *small_search(out, "--trials", 4, "--workers", 1))


def test_a_search_leaves_every_file_of_a_run(finished):
    out, done = finished
    assert done.returncode == 0, done.stderr
    assert all((out / name).stat().st_size > 0 for name in FILES.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert "[4/4]" in done.stdout


def test_the_frontier_is_that_of_the_complete_records_within_the_budget(finished):
    out, _ = finished
    run = load_run(out)
    assert run.finished
    assert len(run.records) == 4
    assert {record.state for record in run.records} <= {"complete", "stopped"}
    assert all(record.flops == count_flops(record.architecture) for record in run.records)
    assert all(record.flops <= 1_000_000 for record in run.records)
    points = json.loads((out / "frontier.json").read_text())["points"]
    front = pareto_front(run.records)
    assert [point["trial"] for point in points] == [record.trial for record in front]
    assert all(record.epochs == 2 for record in front)
    assert all(0 <= point["test_accuracy"] <= 1 for point in points)


def test_weights_of_members_and_baselines_give_their_accuracy_and_they_are_tested(finished):
    from safetensors.torch import load_file

    from space import build_model
    from trainers import evaluate, load_dataset

    out, _ = finished
    run = load_run(out)
    data = load_dataset("digits", train_samples=128, seed=1)
    members = {record.trial for record in run.front}
    kept = [r for r in run.records if r.trial in members or (r.baseline and r.state == "complete")]
    assert any(record.baseline for record in kept)
    assert {f.stem for f in (out / "weights").iterdir()} == {str(r.trial) for r in kept}
    assert all(record.test_accuracy is not None for record in kept)
    for record in kept:
        model = build_model(record.architecture)
        model.load_state_dict(load_file(out / "weights" / f"{record.trial}.safetensors"))
        shape = {"mean": data.mean, "std": data.std}
        _, accuracy = evaluate(model, data.val_images, data.val_labels, **shape)
        assert accuracy == pytest.approx(record.accuracy, abs=1e-6)


def test_one_actor_trains_one_trial_after_another(finished):
    out, _ = finished
    assert len({record.worker for record in load_run(out).records}) == 1


def test_status_and_report_read_the_run_folder(finished, monkeypatch, capsys):
    out, _ = finished
    _, said = call_here(monkeypatch, capsys, "status", out)
    assert f"{load_run(out).count('complete')} complete" in said
    (out / "report.html").unlink()
    assert call_here(monkeypatch, capsys, "report", out)[0] == 0
    assert (out / "report.html").exists()


def test_a_member_carried_away_has_its_test_accuracy_with_timms_own_preprocessing(
    finished, monkeypatch, capsys
):
    import timm
    import torch
    from PIL import Image
    from timm.data import create_transform, resolve_model_data_config

    import space.model  # noqa: F401  registers vit_frontier
    from trainers import load_dataset

    out, _ = finished
    point = json.loads((out / "frontier.json").read_text())["points"][-1]
    assert call_here(monkeypatch, capsys, "export", out, point["trial"])[0] == 0
    folder = out / "models" / str(point["trial"])
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model))
    data = load_dataset("digits")
    images = torch.stack([transform(Image.fromarray(image[0])) for image in data.test_images])
    with torch.inference_mode():
        right = model(images).argmax(1).numpy() == data.test_labels
    assert right.mean() == pytest.approx(point["test_accuracy"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("why", ["time", "space"])
def test_a_search_that_ends_short_says_why(why, tmp_path):
    out = tmp_path / "run"
    (tmp_path / "two.toml").write_text(
        "img_size=[8]\npatch_size=[2]\nembed_dim=[16, 32]\ndepth=[1]\nhead_dim=[8]\n"
    )
    if why == "time":
        done = call("search", *small_search(out, "--trials", 500, "--time-limit", "15s"))
        expected = "of 500 trials when the time limit was reached"
    else:
        space = ("--space", tmp_path / "two.toml", "--no-baselines")
        done = call("search", *small_search(out, "--trials", 9, *space))
        expected = "2 of 9 trials, since the space has no other network that fits"
    assert (done.returncode, expected in done.stdout) == (0, True), done
    assert expected in call("status", out).stdout
    assert expected in (out / "report.html").read_text()
    assert load_run(out).front
    assert "Nothing is left to train" not in done.stdout
    if why == "time":
        trained = len(load_run(out).records)
        more = call("resume", out, "--trials", trained + 1)
        assert (more.returncode, load_run(out).ended_short) == (0, None), more


@pytest.mark.slow
def test_the_same_seed_and_one_worker_give_the_same_records(finished, tmp_path):
    def records(out):
        return [
            (r.trial, r.seed, r.architecture, [(e.train_loss, e.accuracy) for e in r.curve])
            for r in load_run(out).records
        ]

    again = tmp_path / "again"
    done = call("search", *small_search(again, "--trials", 4, "--workers", 1))
    assert done.returncode == 0, done.stderr
    assert records(again) == records(finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_search_that_is_ended_keeps_what_finished_and_goes_on(kind, start, tmp_path):
    out = tmp_path / "run"
    balanced = ("--proxy", "balanced")
    words = small_search(out, "--trials", 3, "--workers", 2, length=balanced)
    log = tmp_path / "log"
    process = start(log, "search", *words)
    wait_for(log, "[1/3]", process)
    process.send_signal(kind)
    code = process.wait(timeout=60)
    before = {r.trial: r for r in load_run(out).records if r.state in ("complete", "stopped")}
    assert before
    if kind is not signal.SIGKILL:
        assert code == 130
        assert load_run(out).count("running") == 0
        assert "resume" in log.read_text()
    resumed = call("resume", out, "--workers", 1)
    assert resumed.returncode == 0, resumed.stderr
    run = load_run(out)
    assert {len(r.curve) for r in run.records if r.state == "complete"} == {BALANCED_EPOCHS}
    after = {record.trial: record for record in run.records}
    assert len(after) == 3
    assert all(after[number] == record for number, record in before.items() if number not in
               {m.trial for m in run.front})  # fmt: skip
    assert set(before) <= set(after)
    assert run.count("running") == 0
    keys = [record.architecture for record in run.records]
    assert len({str(a) for a in keys}) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phrase", "delay", "kind", "group"),
    [
        ("Starting Ray", 1.5, signal.SIGTERM, False),
        ("has room for", 0.2, signal.SIGTERM, False),
        ("has room for", 0.6, signal.SIGTERM, False),
        ("[1/3]", 0.1, signal.SIGTERM, True),
        ("[1/3]", 0.1, signal.SIGHUP, False),
        ("Reading the test split", 0.2, signal.SIGTERM, False),
    ],
)
def test_a_search_may_be_ended_at_any_time_and_says_how_to_go_on(
    phrase, delay, kind, group, tmp_path
):
    """Also with all its processes at once, as a service manager or a batch system does."""
    if signal.getsignal(kind) == signal.SIG_IGN:
        pytest.skip("run under nohup, which searches heed")
    out, log = tmp_path / "run", tmp_path / "log"
    words = small_search(out, "--trials", 3, "--workers", 1)
    with log.open("w") as stream:
        process = subprocess.Popen(
            command("search", *words), cwd=ROOT, env=ENVIRONMENT, stdout=stream, stderr=stream,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(log, phrase, process)
        time.sleep(delay)
        (os.killpg if group else os.kill)(process.pid, kind)
        code = process.wait(timeout=60)
    finally:
        process.kill()
    said = log.read_text()
    assert code == 130, said
    assert f"go on by: vit-frontier resume {out}" in said
    assert load_run(out).count("running") == 0


BAD_INPUT = [
    (["--budget", "0"], "--budget"),
    (["--budget", "-5M"], "--budget"),
    (["--budget", "abc"], "'abc'"),
    (["--budget", "1000"], "smallest architecture of the space 'digits_staged' costs, 10832 FLOPs"),
    (["--budget", "2M", "--space", "digts"], "did you mean 'digits'"),
    (["--budget", "2M", "--data", "/no/such/folder"], "/no/such/folder"),
    (["--budget", "2M", "--img-size", "9", "--space", "cifar"], "divisible"),
    (["--budget", "2M", "--trials", "0"], "--trials"),
    (["--budget", "2M", "--workers", "many"], "--workers"),
    (["--budget", "2M", "--sampler", "grid"], "--sampler"),
    (
        ["--budget", "2M", "--proxy", "quick"],
        "`--proxy` must be one of ['fast', 'balanced', 'faithful'], but got 'quick': choose",
    ),
    (["--budget", "2M", "--time-limit", "soon"], "--time-limit"),
]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT)
def test_bad_input_ends_in_one_sentence_and_code_2(words, message, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    code, said = call_here(monkeypatch, capsys, "search", *words, "--out", out)
    assert code == 2
    assert message in said
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_never_written_over(finished, monkeypatch, capsys):
    out, _ = finished
    before = (out / "study.db").read_bytes()
    code, said = call_here(monkeypatch, capsys, "search", "--budget", "2M", "--out", out)
    assert code == 2
    assert f"vit-frontier resume {out}" in said
    assert (out / "study.db").read_bytes() == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "has no images"),
        (lambda f: (f / "a").mkdir(), "has only 'a'"),
    ],
)
def test_a_folder_without_images_is_refused(make, message, tmp_path, monkeypatch, capsys):
    data = tmp_path / "data"
    data.mkdir()
    make(data)
    words = ("search", "--budget", "2M", "--data", data, "--out", tmp_path / "run")
    code, said = call_here(monkeypatch, capsys, *words)
    assert code == 2
    assert f"{data} {message}" in said


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_leaves_no_run_behind(tmp_path):
    words = small_search(tmp_path / "run", "--address", "127.0.0.1:1")
    done = call("search", *words)
    assert done.returncode == 2
    assert "`--address`" in done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert not (tmp_path / "run").exists()


def test_flops_of_names_and_files(tmp_path, monkeypatch, capsys):
    def flops(what):
        return call_here(monkeypatch, capsys, "flops", what)

    assert "1,253,683,200 FLOPs" in flops("deit_tiny")[1]
    file = tmp_path / "mine.json"
    file.write_text('{"img_size": 8, "patch_size": 2, "embed_dim": 16, "depth": 1, "num_heads": 3}')
    code, said = flops(file)
    assert code == 2
    assert "`embed_dim` (=16) must be divisible by `num_heads` (=3)" in said
    assert "did you mean 'hvt_s_1'" in flops("hvt_s1")[1]


def test_help_is_immediate_and_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['vit-frontier', '--help']\n"
        "from search.commands.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'timm', 'ray', 'optuna'} & set(sys.modules), 'loaded'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
