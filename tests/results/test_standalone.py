"""An exported folder loads where only torch and timm are: none of our rooms can be imported."""

import ast
import json
import subprocess
import sys

import pytest
import torch
from every_kind import NETWORKS
from safetensors.torch import load_file, save
from timm.models._hub import save_for_hf

from results.export import write_model
from results.standalone import FILE, own_kinds, standalone
from space import build_model

HOW = {"mean": [0.25], "std": [0.5], "interpolation": "bicubic"}
ELSEWHERE = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("space", "search", "trainers", "results"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refused())
above, *kinds = sys.argv[1:]
sys.path.insert(0, f"{above}/{kinds[0]}")
import torch
from modeling_vit_frontier import load
from safetensors.torch import load_file, save_file

images = load_file(f"{above}/images.safetensors")["images"]
with torch.no_grad():
    logits = {kind: load(f"{above}/{kind}").eval()(images) for kind in kinds}
    logits["its own folder"] = load().eval()(images)
    assert load(num_classes=3)(images).shape == (2, 3)
save_file(logits, f"{above}/logits.safetensors")
try:
    import space
except ImportError:
    print("alone")
"""


def made(kind):
    torch.manual_seed(len(kind))
    return build_model(NETWORKS[kind]).eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Every kind exported, and one as timm's function writes it to the Hub."""
    above = tmp_path_factory.mktemp("exported")
    for kind, a in NETWORKS.items():
        write_model(above / kind, a, save(made(kind).state_dict()), how=HOW, told={"epochs": 1})
    import timm

    import space.model  # noqa: F401

    model = timm.create_model(f"local-dir:{above / 'merge'}", pretrained=True)
    args = {"architecture": model.architecture.to_dict()}  # as the card says
    save_for_hf(model, above / "pushed", model_args=args, safe_serialization=True)
    return above


def test_every_kind_loads_without_the_project_and_gives_the_same_logits(folders, tmp_path):
    images = torch.rand(2, 1, 16, 16)
    (folders / "images.safetensors").write_bytes(save({"images": images}))
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, folders, *NETWORKS, "pushed"],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.stdout == "alone\n", done.stderr
    logits = load_file(folders / "logits.safetensors")
    logits |= {"patch": logits["its own folder"]}
    for kind in NETWORKS:
        with torch.no_grad():
            torch.testing.assert_close(logits[kind], made(kind)(images), rtol=0, atol=0)
    torch.testing.assert_close(logits["pushed"], logits["merge"], rtol=0, atol=0)


def test_the_file_imports_nothing_of_the_project_and_is_the_same_for_all(folders):
    text = standalone()
    assert (folders / "window" / FILE).read_text() == (folders / "l2" / FILE).read_text() == text
    modules = {
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for inner in ast.walk(ast.parse(str(node.value.value)))
        if isinstance(inner, ast.ImportFrom)
        for name in [inner.module.partition(".")[0]]
    }
    known = sys.stdlib_module_names | {"torch", "timm", "numpy"}
    ours = {name for name in modules if name not in known}
    assert len(ours) == 1
    assert ours.pop().startswith("vit_frontier_")


def test_a_kind_of_anothers_module_is_not_copied_and_the_card_says_so(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend("tests/made_up")
    values = NETWORKS["plain"].to_dict()
    assert own_kinds(values) == []
    values["stages"][0]["attention"]["kind"] = "somebody:Attention"
    assert own_kinds(values) == ["somebody:Attention"]


def test_the_card_of_each_names_its_flops(folders):
    for kind in ("pool", "reattention"):
        config = json.loads((folders / kind / "config.json").read_text())
        assert config["architecture"] == "vit_frontier"
        assert "| FLOPs of one image" in (folders / kind / "README.md").read_text()
