"""Teachers: which one is meant, and that it sees the images as it saw its own."""

import json

import numpy as np
import pytest
import torch
from command_line import call_here

from search.commands.teachers import kept_name, read_teacher
from space import Architecture, build_model, count_flops
from trainers import load_dataset
from trainers.teacher import Teacher

NETWORK = {
    "img_size": 8, "patch_size": 4, "in_chans": 1, "num_classes": 10, "embed_dim": 16, "depth": 1,
    "num_heads": 2, "mlp_ratio": 2,
}  # fmt: skip
SHORT = ("--train-samples", 64, "--val-samples", 32, "--epochs", 1, "--batch-size", 32)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", train_samples=32, val_samples=16)


def test_a_teacher_sees_images_normalised_and_resized_as_it_learnt_them(digits):
    class Sees(torch.nn.Module):
        def forward(self, images):
            return images

    pixels = torch.from_numpy(digits.val_images[:4]).float() / 255
    images = (pixels - digits.mean[0]) / digits.std[0]
    teacher = Teacher(Sees(), digits, mean=(0.25,), std=(0.5,), img_size=8)
    torch.testing.assert_close(teacher(images), (pixels - 0.25) / 0.5)
    assert Teacher(Sees(), digits, mean=(0.25,), std=(0.5,), img_size=12)(images).shape[-1] == 12
    with pytest.raises(ValueError, match="must take the images' 1 channels"):
        Teacher(Sees(), digits, mean=(0.5,) * 3, std=(0.5,) * 3, img_size=8)


def test_a_training_learns_from_a_folder_of_another(tmp_path, monkeypatch, capsys, digits):
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(NETWORK))
    first, alone, taught = (tmp_path / name for name in ("first", "alone", "taught"))
    assert call_here(monkeypatch, capsys, "train", file, *SHORT, "--out", first)[0] == 0
    words = ("train", file, *SHORT, "--seed", 1, "--out")
    assert call_here(monkeypatch, capsys, *words, alone)[0] == 0
    code, said = call_here(
        monkeypatch, capsys, *words, taught, "--teacher", first / "model", "--diversity", "0.1"
    )
    assert code == 0, said
    told = json.loads((taught / "train.json").read_text())
    assert told["settings"]["teacher"] == str(first / "model")
    assert told["recipe"]["diversity"] == 0.1
    losses = [np.genfromtxt(f / "log.csv", delimiter=",")[1][1] for f in (alone, taught)]
    assert losses[0] != losses[1]

    teacher = read_teacher(str(first / "model"), digits)
    assert not teacher.model.training
    other = tmp_path / "two.json"
    other.write_text(json.dumps(NETWORK))
    config = json.loads((first / "model" / "config.json").read_text())
    config["num_classes"] = config["pretrained_cfg"]["num_classes"] = 7
    config["model_args"]["architecture"]["num_classes"] = 7
    (first / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="`--teacher` must be a folder"):
        read_teacher(str(first / "model"), digits)


def test_a_teacher_of_other_classes_or_of_no_kind_is_told(digits, tmp_path):
    from safetensors.torch import save

    from results.export import write_model

    a = Architecture.from_dict({**NETWORK, "num_classes": 7})
    how = {"mean": [0.5], "std": [0.5], "interpolation": "bicubic"}
    write_model(tmp_path / "seven", a, save(build_model(a).state_dict()), how=how, told={})
    with pytest.raises(ValueError, match="must tell the 10 classes of the images apart"):
        read_teacher(str(tmp_path / "seven"), digits)
    with pytest.raises(ValueError, match="`--teacher` must be a folder"):
        read_teacher("no_such_network", digits)
    assert read_teacher(None, digits) is None
    assert kept_name("resnet18") == "resnet18"
    with pytest.raises(ValueError, match="A run is a folder"):
        kept_name(f"{tmp_path / 'nothing'}:3")


def test_a_networks_flops_are_counted_and_those_of_others_measured(digits):
    import timm

    a = Architecture.from_dict(NETWORK)
    seen = {"mean": (0.5,), "std": (0.5,), "img_size": 8}
    ours = Teacher(build_model(a), digits, **seen)
    assert ours.flops == count_flops(a)
    options = {k: v for k, v in NETWORK.items() if k != "mlp_ratio"} | {"mlp_ratio": 2.0}
    vit = timm.create_model("vit_tiny_patch16_224", **options)
    assert Teacher(vit, digits, **seen).flops == count_flops(a.replace(head="token"))
    assert Teacher(vit, digits, **seen).fingerprint() != ours.fingerprint()
    assert (
        Teacher(vit, digits, **seen, name="x").fingerprint()
        == Teacher(vit, digits, **seen).fingerprint()
    )


@pytest.mark.parametrize(
    "name", ["hf-hub:timm/no_such_network", "./no_such/folder", "a.safetensors"]
)
def test_a_teacher_that_is_not_there_is_told_in_a_sentence(name, digits, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="`--teacher`") as told:
        read_teacher(name, digits)
    assert name in str(told.value)
    assert ("is not there" in str(told.value)) == (":" not in name)
    assert kept_name(name) == name
