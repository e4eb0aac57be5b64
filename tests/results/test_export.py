"""A member of the frontier, carried away: timm loads it, prepares images as the search did."""

import json
import shutil
import sys

import numpy as np
import pytest
import timm
import torch
from command_line import call_here
from make_run import make_run
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_dataset, create_transform, resolve_model_data_config

from results import load_run, write_timm_folder
from results.export import class_order_text
from space import Architecture, Pool, build_model
from trainers import load_dataset

MEAN, STD = [0.1376], [0.2519]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("runs") / "digits-2M", seed=3)
    description = json.loads((folder / "run.json").read_text())
    description["data"] |= {"mean": MEAN, "std": STD}
    (folder / "run.json").write_text(json.dumps(description))
    (folder / "weights").mkdir()
    for record in load_run(folder).front:
        torch.manual_seed(record.trial)
        weights = build_model(record.architecture).state_dict()
        save_file(weights, folder / "weights" / f"{record.trial}.safetensors")
    return folder


@pytest.fixture
def run(run_folder):
    return load_run(run_folder)


def test_timm_loads_the_network_its_weights_and_its_preprocessing(run, tmp_path):
    member = run.front[-1]
    write_timm_folder(run, member.trial, tmp_path / "carried away")
    model = timm.create_model(f"local-dir:{tmp_path / 'carried away'}", pretrained=True).eval()
    assert model.architecture == member.architecture
    torch.manual_seed(member.trial)
    theirs = build_model(member.architecture).eval()
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(model(images), theirs(images), rtol=0, atol=0)
    config = resolve_model_data_config(model)
    assert tuple(config["input_size"]) == (1, 8, 8)
    assert (list(config["mean"]), list(config["std"])) == (MEAN, STD)
    assert (config["interpolation"], config["crop_pct"]) == ("bicubic", 1.0)
    assert model.pretrained_cfg["label_names"] == [str(digit) for digit in range(10)]
    told = json.loads((tmp_path / "carried away" / "config.json").read_text())["vit_frontier"]
    assert (told["trial"], told["accuracy"]) == (member.trial, member.accuracy)


def test_other_heads_and_channels_are_adapted_as_timm_does(run, tmp_path):
    member = run.front[-1]
    write_timm_folder(run, member.trial, tmp_path)
    whole = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.rand(2, 1, 8, 8)
    features = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=0).eval()
    expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
    torch.testing.assert_close(features(images), expected)
    three = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=3).eval()
    assert three(images).shape == (2, 3)
    torch.testing.assert_close(three.forward_features(images), whole.forward_features(images))
    if getattr(three, "_traits", None) is None:
        return  # timm before 1.0.31 adapts channels of colour images alone
    colour = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, in_chans=3).eval()
    torch.testing.assert_close(  # timm spreads a grey weight over the colours
        colour(images.expand(-1, 3, -1, -1)), whole(images), rtol=1e-4, atol=1e-5
    )


def test_a_new_head_is_initialised_and_of_the_same_kind():
    a = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=1, num_heads=1, num_classes=4)
    model = build_model(a)
    assert model.get_classifier().out_features == 4
    model.reset_classifier(6)
    assert model(torch.rand(1, 3, 8, 8)).shape == (1, 6)
    assert model.num_classes == 6
    assert model.head.weight.std() < 0.05
    with pytest.raises(ValueError, match=r"`global_pool` must be .avg., .* got .token."):
        model.reset_classifier(6, "token")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"pretrained": True}, RuntimeError, "No pretrained weights exist for vit_frontier"),
        ({"global_pool": "token"}, ValueError, "global_pool"),
        ({"dynamic_img_size": True}, TypeError, "build at the size with `img_size`"),
        ({"nonsense": 3}, TypeError, "nonsense"),
        ({"drop_rate": 0.1}, TypeError, "leave out `drop_rate`"),
        ({"img_size": (8, 16)}, ValueError, "img_size"),
        ({"num_classes": -1}, ValueError, "num_classes"),
    ],
)
def test_what_the_networks_do_not_have_is_refused(options, error, words):
    a = Architecture(img_size=8, patch_size=2, embed_dim=8, depth=1, num_heads=1)
    with pytest.raises(error, match=words):
        timm.create_model("vit_frontier", architecture=a.to_dict(), **options)


def test_options_of_timms_own_scripts_are_taken():
    a = Architecture(
        img_size=8, patch_size=2, embed_dim=8, depth=2, num_heads=1, pools=(Pool(after=0),)
    )
    model = timm.create_model(
        "vit_frontier", architecture=a.to_dict(), img_size=16, in_chans=1, num_classes=5,
        drop_rate=0.0, drop_path_rate=0.1, pretrained_cfg={"mean": (0.2,), "std": (0.3,)},
    )  # fmt: skip
    assert model(torch.rand(1, 1, 16, 16)).shape == (1, 5)
    assert model.blocks[1].drop_path.drop_prob == pytest.approx(0.1)
    config = resolve_model_data_config(model)
    assert (config["mean"], config["std"]) == ((0.2,), (0.3,))


def test_timm_prepares_an_image_as_the_search_did(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name in ("a", "b"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (6, 9, 3), np.uint8)
                image = Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC)
                image.save(tmp_path / "data" / split / name / f"{i}.png")
    dataset = load_dataset(tmp_path / "data", img_size=24, cache_dir=tmp_path / "cache")
    ours = (dataset.test_images / 255 - np.reshape(dataset.mean, (3, 1, 1))) / np.reshape(
        dataset.std, (3, 1, 1)
    )
    from space.model import timm_config

    a = Architecture(img_size=24, patch_size=4, embed_dim=8, depth=1, num_heads=1)
    how = timm_config(a) | {"mean": dataset.mean, "std": dataset.std}
    model = timm.create_model("vit_frontier", architecture=a.to_dict(), pretrained_cfg=how)
    transform = create_transform(**resolve_model_data_config(model))
    files = sorted((tmp_path / "data" / "test").glob("*/*.png"))
    theirs = np.stack([transform(Image.open(file)).numpy() for file in files])
    difference = np.abs(theirs - ours)
    assert difference.mean() < 0.005  # of a standard deviation: resized first, or cut first
    assert difference.max() < 0.1


def test_the_command_writes_the_folder_and_says_how_to_load_it(run, monkeypatch, capsys):
    member = run.front[0].trial
    code, said = call_here(monkeypatch, capsys, "export", run.path, member)
    folder = run.path / "models" / str(member)
    assert code == 0, said
    assert f"timm.create_model('local-dir:{folder}', pretrained=True)" in said
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "class_map.txt",
        "config.json",
        "model.safetensors",
        "modeling_vit_frontier.py",
    ]
    assert call_here(monkeypatch, capsys, "export", run.path, member)[0] == 0  # again
    code, said = call_here(monkeypatch, capsys, "flops", folder / "config.json")
    assert (code, f"{run.front[0].flops:,} FLOPs" in said) == (0, True), said


def test_the_whole_frontier_is_exported_each_in_a_folder_of_its_number(
    run, tmp_path, monkeypatch, capsys
):
    words = ("export", run.path, "--all-frontier", "--out", tmp_path / "all")
    code, said = call_here(monkeypatch, capsys, *words)
    assert code == 0, said
    names = {folder.name for folder in (tmp_path / "all").iterdir()}
    assert names == {str(record.trial) for record in run.front}
    code, said = call_here(monkeypatch, capsys, "export", run.path, "best", "--all-frontier")
    assert (code, "must not be given with `--all-frontier`" in said) == (2, True)


def test_onnx_without_its_packages_is_told_in_a_sentence(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    words = ("export", run.path, run.front[0].trial, "--onnx", "--out", tmp_path / "one")
    code, said = call_here(monkeypatch, capsys, *words)
    assert code == 2
    assert "pip install 'vit-frontier[onnx]'" in said


def test_what_cannot_be_exported_is_told(run, tmp_path, monkeypatch, capsys):
    def refused(*words):
        code, said = call_here(monkeypatch, capsys, "export", *words)
        assert code == 2, said
        return said

    front = [record.trial for record in run.front]
    other = next(r.trial for r in run.records if r.trial not in front)
    members = ", ".join(map(str, front))
    assert f"but got {other}: choose one of {members}." in refused(run.path, other)
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"precious": 1}')
    assert "holds a config.json of another program" in refused(
        run.path, front[0], "--out", tmp_path / "mine"
    )
    assert "must be a folder that can be written" in refused(
        run.path, front[0], "--out", tmp_path / "file"
    )
    copy = shutil.copytree(run.path, tmp_path / "copy")
    weights = copy / "weights"
    (weights / f"{front[0]}.safetensors").unlink()
    assert "No such file or directory. Restore the file" in refused(copy, front[0])
    (weights / f"{front[1]}.safetensors").write_bytes(b"nothing of the kind")
    assert f"must hold the weights of trial {front[1]}" in refused(copy, front[1])
    shutil.copy(
        run.path / "weights" / f"{front[0]}.safetensors", weights / f"{front[2]}.safetensors"
    )
    assert f"must hold the weights of trial {front[2]}" in refused(copy, front[2])
    description = json.loads((copy / "run.json").read_text())
    del description["data"]["std"]
    (copy / "run.json").write_text(json.dumps(description))
    assert "`data.mean` and `data.std` must be lists" in refused(copy, front[-1])


def test_frontier_json_tells_the_preprocessing(run):
    from results.write import frontier_json

    told = json.loads(frontier_json(run))["preprocessing"]
    assert (told["mean"], told["std"], told["crop_pct"]) == (MEAN, STD, 1.0)


def test_class_folders_are_numbered_by_timm_as_by_the_network(run, tmp_path, monkeypatch, capsys):
    names = ["1", "10", "2", *"abcdefg"]
    for name in names:
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "data" / name / "1.png")
    file = run.path / "run.json"
    before = file.read_text()
    description = json.loads(before)
    description["data"]["class_names"] = names
    file.write_text(json.dumps(description))
    out = tmp_path / "out"
    assert call_here(monkeypatch, capsys, "export", f"{run.path}:best", "--out", out)[0] == 0
    assert "Its classes are numbered as in class_map.txt" in class_order_text(
        load_run(run.path), out
    )
    file.write_text(before)
    assert class_order_text(load_run(run.path), out) == ""
    theirs = create_dataset("", str(tmp_path / "data"))
    assert theirs.reader.class_to_idx["2"] == 1
    ours = create_dataset("", str(tmp_path / "data"), class_map=str(out / "class_map.txt"))
    assert ours.reader.class_to_idx == {name: label for label, name in enumerate(names)}
