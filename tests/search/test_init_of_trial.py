"""A search that begins from a network of another run: `--init RUN:TRIAL`."""

import pytest
import torch
from safetensors.torch import save_file

from search.commands import trial_names
from search.pretrained import donor_of, kept_init
from space import Architecture, build_model


class OfRun:
    """A run of two trials, as far as a donor is read from it."""

    def __init__(self, path, architectures):
        self.path = path
        self.settings = {"data": {"in_chans": 1, "mean": [0.25], "std": [0.5]}}
        self.records = tuple(
            type("Record", (), {"trial": trial, "architecture": a})()
            for trial, a in enumerate(architectures)
        )


PLAIN = Architecture(
    img_size=16, patch_size=4, in_chans=1, num_classes=10, embed_dim=32, depth=3, num_heads=2
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "weights").mkdir()
    torch.manual_seed(0)
    networks = (PLAIN, PLAIN.replace(reattention=(2,)))
    models = [build_model(a).eval() for a in networks]
    for trial, model in enumerate(models):
        save_file(model.state_dict(), tmp_path / "weights" / f"{trial}.safetensors")
    loaded = OfRun(tmp_path, networks)
    monkeypatch.setattr(
        trial_names, "read_trial", lambda text, _: (loaded, int(text.rpartition(":")[2]), "")
    )
    return loaded, models


@torch.no_grad()
def test_a_trial_is_a_donor_to_the_last_bit(run):
    loaded, models = run
    donor = donor_of(f"{loaded.path}:0")
    assert (donor.mean, donor.std) == ((0.25,), (0.5,))
    assert donor.architecture == PLAIN.replace(donor_blocks=(0, 1, 2))
    model = build_model(donor.architecture).eval()
    donor.load_into(model)
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(model(images), models[0](images))


def test_a_trial_is_kept_by_an_absolute_name(run):
    loaded, _ = run
    assert kept_init(f"{loaded.path}:1") == f"{loaded.path}:1"
    assert kept_init("hf-hub:timm/x") == "hf-hub:timm/x"


def test_a_trial_of_other_parts_is_refused_by_the_part(run):
    loaded, _ = run
    with pytest.raises(ValueError, match=r"its `attention` must be 'plain'.* 'reattention'"):
        donor_of(f"{loaded.path}:1")


def test_a_trial_without_weights_is_refused(run):
    loaded, _ = run
    with pytest.raises(ValueError, match="must be a member of the frontier"):
        donor_of(f"{loaded.path}:7")


def test_a_trial_whose_weights_are_not_numbers_is_refused(run):
    loaded, models = run
    weights = models[0].state_dict()
    weights["norm.bias"][0] = torch.nan
    save_file(weights, loaded.path / "weights" / "0.safetensors")
    with pytest.raises(ValueError, match=r"finite numbers, but norm.bias has others"):
        donor_of(f"{loaded.path}:0")
