import json
import struct
from pathlib import Path

import pytest
import timm
import torch
from donors import SMALL, save_donor, small_vit
from safetensors.torch import load_file, save_file

from space import build_model, count_params, space_of
from trainers.init import read_donor


@pytest.fixture(scope="module")
def vit():
    return small_vit()


@pytest.fixture(scope="module")
def folder(vit, tmp_path_factory):
    return save_donor(vit, tmp_path_factory.mktemp("donor"))


def network(donor, **changes):
    a = donor.architecture.replace(**changes)
    model = build_model(a).eval()
    donor.load_into(model)
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_token": False, "global_pool": "avg", "fc_norm": False},
        {"init_values": 1e-4},
        {"no_embed_class": True},
        {"init_values": 1e-4, "no_embed_class": True, "num_heads": 4, "mlp_ratio": 3.0},
        {"qkv_bias": False, "proj_bias": False},
        {"qk_norm": True},
        {"reg_tokens": 4},
        {"reg_tokens": 4, "no_embed_class": True, "class_token": False, "global_pool": "avg"},
        {"pre_norm": True, "act_layer": "quick_gelu"},
        {"global_pool": "avg"},
        {"global_pool": "avg", "fc_norm": False, "norm_layer": "layernorm"},
    ],
)
def test_the_network_of_a_donor_gives_its_logits_to_the_last_bit(tmp_path, options):
    vit = small_vit(**options)
    donor = read_donor(save_donor(vit, tmp_path, **options))
    assert donor.architecture.head == options.get("global_pool", "token")
    images = torch.randn(3, 3, 32, 32)
    model = network(donor)
    assert torch.equal(model(images), vit(images))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert type(donor.architecture).from_dict(donor.architecture.to_dict()) == donor.architecture
    assert count_params(donor.architecture) == count
    shape = {"img_size": 32, "in_chans": 3, "num_classes": 10}
    assert donor.architecture in space_of(donor.architecture, name="x", **shape)


def test_a_donor_without_a_head_gets_a_new_one(tmp_path):
    donor = read_donor(save_donor(small_vit(num_classes=0), tmp_path, num_classes=0))
    assert not any(name.startswith("head") for name in donor.weights)
    assert network(donor, num_classes=5)(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


@torch.no_grad()
@pytest.mark.parametrize("img_size", [16, 48])
def test_positions_are_resampled_as_timm_does(vit, folder, img_size):
    theirs = timm.create_model(
        f"local-dir:{folder}", pretrained=True, img_size=img_size, num_classes=10
    ).eval()
    images = torch.randn(2, 3, img_size, img_size)
    assert torch.equal(network(read_donor(folder), img_size=img_size)(images), theirs(images))


@torch.no_grad()
@pytest.mark.parametrize("in_chans", [1, 13])
def test_the_stem_takes_other_channels_as_timm_does(folder, in_chans):
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True, in_chans=in_chans).eval()
    images = torch.randn(2, in_chans, 32, 32)
    assert torch.equal(network(read_donor(folder), in_chans=in_chans)(images), theirs(images))


@torch.no_grad()
def test_a_head_of_other_classes_is_new_and_the_features_are_the_donors(vit, folder):
    model = network(read_donor(folder), num_classes=7)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.forward_features(images), vit.forward_features(images))
    assert model(images).shape == (2, 7)


@torch.no_grad()
def test_the_blocks_that_stay_are_those_named(vit, folder):
    donor = read_donor(folder)
    (stage,) = donor.architecture.stages
    stages = (type(stage)(depth=2, attention=stage.attention, mlp=stage.mlp),)
    model = network(donor, stages=stages, donor_blocks=(1, 4))
    for ours, theirs in zip(model.blocks, (vit.blocks[1], vit.blocks[4]), strict=True):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_a_file_is_read_with_the_config_beside_it(folder):
    one, other = read_donor(f"{folder}/model.safetensors"), read_donor(folder)
    assert one.fingerprint() == other.fingerprint()
    assert one.architecture.donor_blocks == tuple(range(6))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pos_embed", "none"),
        ("final_norm", False),
        ("pool_include_prefix", True),
        ("scale_attn_norm", True),
        ("scale_mlp_norm", True),
        ("act_layer", "relu"),
        ("norm_layer", "rmsnorm"),
        ("global_pool", "max"),
        ("global_pool", "map"),
    ],
)
def test_a_donor_with_another_option_is_refused_by_its_name(tmp_path, option, value):
    vit = small_vit(**{option: value})
    name = save_donor(vit, tmp_path, **{option: value})
    with pytest.raises(ValueError, match=f"its `{option}` must be"):
        read_donor(name)


@pytest.mark.parametrize(
    "name", ["deit_tiny_distilled_patch16_224", "resnet18", "eva02_tiny_patch14_224"]
)
def test_another_family_is_refused(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name}))
    with pytest.raises(ValueError, match="must be timm's plain VisionTransformer, but is a"):
        read_donor(str(tmp_path))


def spoilt(folder, tmp_path, change):
    """The donor's folder with other weights."""
    weights = load_file(f"{folder}/model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes(Path(folder, "config.json").read_bytes())
    return str(tmp_path)


def wider(weights):
    weights["norm.weight"] = torch.ones(65)


def nan(weights):
    weights["blocks.3.mlp.fc1.weight"][0, 0] = torch.nan


def missing(weights):
    del weights["cls_token"]


def more(weights):
    weights["blocks.0.ls1.gamma"] = torch.ones(64)


def whole(weights):
    weights["norm.bias"] = torch.zeros(64, dtype=torch.int32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wider, r"of 'norm.weight' it has the shape \(65,\), where that has the shape \(64,\)"),
        (nan, "finite numbers, but blocks.3.mlp.fc1.weight has others"),
        (missing, "of 'cls_token' it has no such tensor"),
        (more, "where that has no such tensor"),
        (whole, "finite numbers, but norm.bias"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused(folder, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        read_donor(spoilt(folder, tmp_path, change))


def header(content, length=None):
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + b"\0" * 8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle",
        header({}, length=2**62),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 2**40]}}),
        header({"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}}),
        header({
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        }),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_one_sentence(folder, tmp_path, content):
    (tmp_path / "config.json").write_bytes(Path(folder, "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="must be a safetensors file, but") as error:
        read_donor(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "must be timm's config.json"),
        ("[]", "must name timm's model"),
        ('{"architecture": "../../etc/passwd"}', "timm cannot build it"),
        ('{"architecture": "vit_tiny_patch16_224", "model_args": []}', "cannot be used"),
        ('{"architecture": "vit_tiny_patch16_224", "model_args": {"depth": 1e9}}', "`depth` must"),
        (
            '{"architecture": "vit_tiny_patch16_224", "model_args": {"depth": 99999}}',
            "`depth` must",
        ),
        (
            '{"architecture": "vit_tiny_patch16_224", "model_args": {"checkpoint_path": "x"}}',
            "name",
        ),
        ('{"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": 5}}', "build it"),
        (
            '{"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {"num_classes": -1}}',
            "`num_classes` must",
        ),
        ("[" * 99999, "must be timm's config.json"),
    ],
)
def test_a_hostile_config_is_refused_in_one_sentence(tmp_path, config, words):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=words) as error:
        read_donor(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "checkpoint.pth", "model.pt"])
def test_pickles_are_refused_unread(tmp_path, monkeypatch, name):
    torch.save({}, tmp_path / name)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ValueError, match="safetensors files alone") as error:
        read_donor(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_name_that_timm_does_not_know_is_refused():
    with pytest.raises(ValueError, match="a name of timm's: there is neither"):
        read_donor("vit_tiny_patch61_224")


def test_a_name_that_cannot_be_downloaded_says_what_to_do(monkeypatch):
    def offline(name, **_):
        raise OSError("no network\nat all")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match=r"cannot get its weights \(no network at all\): download"):
        read_donor("vit_tiny_patch16_224")


def test_a_name_is_loaded_by_timm(monkeypatch, vit):
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: vit)
    donor = read_donor("deit_tiny_patch16_224")
    assert donor.mean == (0.485, 0.456, 0.406)
    assert donor.architecture.img_size == SMALL["img_size"]
