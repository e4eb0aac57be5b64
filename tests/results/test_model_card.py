"""The card says how good a network is, by how much that may be wrong, and what it comes from."""

import json
import math

import pytest
import yaml
from every_kind import NETWORKS

from results.model_card import model_card, wilson
from space import count_flops, count_params

A = NETWORKS["reattention"]
TOLD = {
    "run": "digits-2M", "dataset": "digits", "trial": 7, "accuracy": 0.9, "test_accuracy": 0.875,
    "epochs": 3, "seed": 11, "images": {"train": 1150, "validation": 288, "test": 359},
}  # fmt: skip


def card(**told):
    config = {"model_args": {"architecture": A.to_dict()}, "vit_frontier": TOLD | told}
    return model_card(config, name="my-vit")


def head(text):
    return yaml.safe_load(text.split("---")[1])


def test_another_metric_has_its_name_and_no_interval_that_is_one_of_shares():
    text = card(metric="f1")
    assert head(text)["model-index"][0]["results"][0]["metrics"][0]["type"] == "f1"
    assert "| measured on | macro F1 |" in text
    assert "| validation | 0.9000 | unknown" in text


def test_wilson_solves_its_equation():
    for accuracy, images in ((0.5, 100), (0.99, 288), (1.0, 20)):
        for bound in wilson(accuracy, images):
            if 1e-9 < bound < 1 - 1e-9:
                assert abs(accuracy - bound) == pytest.approx(
                    1.96 * math.sqrt(bound * (1 - bound) / images)
                )
    assert wilson(1.0, 20)[1] == pytest.approx(1.0)


def test_data_split_epochs_seed_accuracy_and_costs_are_told():
    text = card()
    low, high = wilson(0.9, 288)
    assert f"| validation | 0.9000 | {low:.4f} to {high:.4f}, images drawn anew" in text
    assert f"| parameters | {count_params(A):,} |" in text
    assert f"| {count_flops(A):,} |" in text
    assert "digits: 1,150 to train on, 288 to validate on, 359 to test on" in text
    assert "3 epochs, seed 11" in text
    assert "trial 7 of the run digits-2M" in text
    assert "data: CC BY 4.0" in text


def test_an_unconfirmed_network_is_said_to_be_one():
    assert "Not confirmed by other seeds" in card()
    confirmed = {"mean": 0.88, "error": 0.01, "trainings": 3, "probability": 0.75}
    text = card(confirmed=confirmed)
    assert "Not confirmed" not in text
    assert "| validation | 0.8800 | 0.8604 to 0.8996, trained anew | 3 trainings" in text
    assert "probability of 75 %" in text


def test_the_head_is_yaml_that_the_hub_reads_whatever_the_data_are_called():
    read = head(card(dataset='a: "b"\n- {c'))
    assert (read["library_name"], read["pipeline_tag"]) == ("timm", "image-classification")
    results = read["model-index"][0]["results"]
    assert [r["metrics"][0]["value"] for r in results] == [0.9, 0.875]
    assert results[0]["dataset"]["name"] == 'a: "b"\n- {c'
    assert "model-index" not in head(card(accuracy=None, test_accuracy=None))


def test_a_donor_is_named_with_its_license():
    text = card(init="deit_tiny_patch16_224.fb_in1k", init_license="apache-2.0")
    assert head(text)["base_model"] == "deit_tiny_patch16_224.fb_in1k"
    assert "which these weights began from: apache-2.0" in text
    assert "began from: not known here" in card(init="a folder")


def test_networks_of_other_modules_are_loaded_with_these():
    values = json.loads(json.dumps(A.to_dict()))
    config = {"model_args": {"architecture": values}, "vit_frontier": TOLD}
    assert "from modeling_vit_frontier import load" in model_card(config, name="x")
