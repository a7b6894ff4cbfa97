"""The check of the rule of every method: it holds for all shipped ones and finds each way of breaking it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pretrain.errors import InputError
from pretrain.methods.lookup import find_method, method_names
from pretrain.plugins import shipped_names
from pretrain.testing import MethodFaultError, check_method
from tests.pretrain import example_methods as examples
from tests.pretrain.steps import RUN

SMALL = {
    "mlp_dimension": 32,
    "embedding_dimension": 16,
    "hidden_dimension": 16,
    "predictor_dimension": 8,
    "mask_square": 4,
    "queue_size": 32,
    "batch_norm_group": 4,
}
VIT, RESNET = ("tiny_vit",), ("tiny_resnet",)
MULTI_CROP = ({"crop_scale": (0.4, 1.0), "count": 2}, {"crop_scale": (0.05, 0.4), "count": 3, "size": 8})
TRAINED = sorted(shipped_names("pretrain.methods") - {"random_init"})
OWN_TESTS = "".join(file.read_text() for file in (Path(__file__).parent / "methods").glob("test_*.py"))
CHECKED_HERE = [name for name in TRAINED if f'    check_method("{name}"' not in OWN_TESTS]
"""Methods whose own test file does not check the rule with the views and options that they need."""


@pytest.mark.parametrize("name", CHECKED_HERE)
def test_shipped_methods_follow_the_rule(name: str) -> None:
    options = {key: value for key, value in SMALL.items() if key in find_method(name).Config.model_fields}
    check_method(name, options=options, backbones=VIT if "mask_square" in options else (*VIT, *RESNET))


def test_drop_path_and_mixed_labels_follow_the_rule() -> None:
    mixing = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}
    check_method("supervised", options={"drop_path_rate": 0.5}, backbones=VIT, mixing=mixing)


@pytest.mark.parametrize("method", [examples.SimCLR, examples.MoCo, examples.QueueHierarchy, examples.Noisy])
def test_methods_of_other_families_follow_the_rule(method: Any) -> None:
    check_method(method)


def test_small_crops_a_centre_and_schedules_follow_the_rule() -> None:
    check_method(examples.DINO, views=MULTI_CROP)


GATHERED = r"negatives must be gathered from all of them, use pretrain\.methods\.parts\.gather"


@pytest.mark.parametrize(
    ("method", "settings", "sentence"),
    [
        (
            examples.LocalNegatives,
            {},
            f"LocalNegatives on tiny_vit: the loss depends on the number of processes: {GATHERED}",
        ),
        (
            examples.GatheredWithoutGradient,
            {},
            "the gradient of .* depends on the number of processes: .*with_gradient",
        ),
        (examples.SummedLoss, {}, "the loss depends on the number of processes: .*the mean over this process's rows"),
        (examples.LocalMetric, {}, "the metric feature_std depends on the number of processes: log a mean"),
        (examples.LocalQueue, {}, r"the state queue\.\w+ depends on the number of processes: queues, centres"),
        (examples.ForgottenQueue, {}, "depends on a restart: .*a persistent buffer"),
        (examples.ForgottenCentre, {"views": MULTI_CROP}, "the loss depends on a restart: .*a persistent buffer"),
        (examples.TemperatureOfAnEpoch, {}, "the loss depends on a restart"),
        (examples.DrawsFromTheGenerator, {}, r"the loss depends on the number of processes: .*batch\.place\(\)"),
        (examples.CoupledFeatures, {}, r"the loss depends on micro-batches: features\(\)"),
    ],
)
def test_each_way_of_breaking_the_rule_is_named(method: Any, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MethodFaultError, match=sentence):
        check_method(method, backbones=VIT, **settings)


def test_what_the_method_refuses_is_no_fault() -> None:
    with pytest.raises(InputError, match="needs 2 views, not 5"):
        check_method("moco_v3", views=MULTI_CROP)


def test_all_methods_are_found() -> None:
    assert set(TRAINED) <= set(method_names())


def test_the_example_is_nt_xent() -> None:
    """Against the sums of the paper's eq. 1, image by image, in double precision."""
    torch.manual_seed(0)
    method = examples.SimCLR(examples.Config(), torch.nn.Identity(), 5, RUN)
    first, second = torch.randn(2, 6, 5)
    loss, _ = method.loss_from_features([{"backbone": first}, {"backbone": second}], [{}, {}], torch.zeros(6))
    with torch.no_grad():
        rows = F.normalize(torch.cat([method.projector(first), method.projector(second)]).double(), dim=1)
    total = 0.0
    for i in range(12):
        similarities = (rows @ rows[i] / 0.2).exp()
        total -= float((similarities[(i + 6) % 12] / (similarities.sum() - similarities[i])).log())
    assert float(loss) == pytest.approx(total / 12, rel=1e-6)
