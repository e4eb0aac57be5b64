"""A network in ONNX says what the network says, of any number of images."""

import numpy as np
import pytest
import torch
from every_kind import NETWORKS
from PIL import Image
from safetensors.torch import save

from results.export import write_model
from results.onnx_file import REFUSED, write_onnx
from space import Architecture, build_model
from trainers import load_dataset

pytestmark = pytest.mark.slow
HOW = {"mean": [0.25], "std": [0.5]}


def exported(folder, a, how=HOW):
    torch.manual_seed(0)
    model = build_model(a).eval()
    for parameter in model.parameters():  # so that logits are apart
        torch.nn.init.normal_(parameter, std=0.3)
    write_model(folder, a, save(model.state_dict()), how=how, told={"epochs": 1})
    return model


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in REFUSED])
def test_every_kind_but_those_refused_agrees_with_torch(kind, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model = exported(tmp_path, NETWORKS[kind])
    session = runtime.InferenceSession(write_onnx(tmp_path))
    images = torch.randn(5, 1, 16, 16)
    (logits,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(logits, model(images).detach().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_exported_is_refused_in_a_sentence(kind, tmp_path):
    exported(tmp_path, NETWORKS[kind])
    with pytest.raises(ValueError, match=rf"attention of the kind '{kind}'.*leave out `--onnx`"):
        write_onnx(tmp_path)
    assert not list(tmp_path.glob("*.onnx*"))


def test_images_prepared_as_timm_does_get_the_logits_and_the_accuracy_of_torch(tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    import timm
    from timm.data import create_transform, resolve_model_data_config

    import space.model  # noqa: F401

    digits = load_dataset("digits")
    a = Architecture(img_size=8, in_chans=1, patch_size=2, embed_dim=16, depth=2, num_heads=2,
                     num_classes=10, reattention=(1,))  # fmt: skip
    exported(tmp_path, a, how={"mean": list(digits.mean), "std": list(digits.std)})
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model))
    images = torch.stack([transform(Image.fromarray(i[0])) for i in digits.test_images[:200]])
    session = runtime.InferenceSession(write_onnx(tmp_path))
    (logits,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        ours = model(images).numpy()
    assert np.abs(logits - ours).max() <= 1e-4
    assert (logits.argmax(1) == ours.argmax(1)).all()
