"""Files with two sets of weights: which are seen, which one is read, and that it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pretrain.backbones.lookup import find_backbone
from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import import_file, read_checkpoint
from pretrain.foreign.parts.reading import read_foreign
from tests.pretrain.foreign.layouts import Official, OfficialResNet, randomise, save_official

State = dict[str, Tensor]


def network(seed: int) -> State:
    torch.manual_seed(seed)
    model = find_backbone("tiny_resnet").build(16)
    randomise(model)
    return dict(model.state_dict())


RAW, EMA = network(0), network(1)


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


FILES: dict[str, Any] = {
    "timm": {"state_dict": RAW, "state_dict_ema": EMA, "epoch": 3, "arch": "resnet"},
    "deit": {"model": RAW, "model_ema": EMA, "optimizer": {"state": {0: {"exp_avg": EMA["conv1.weight"]}}}},
    "ema alone at the top": {"ema": EMA, "state_dict": RAW},
    "ema state dict": {"ema_state_dict": EMA, "state_dict": RAW},
    "ema in a module": {"model": RAW, "ema": {"module": EMA, "decay": 0.999}},
    "under DistributedDataParallel": {"model": under("module.", RAW), "model_ema": under("module.", EMA)},
    "DINO": {
        "student": under("module.backbone.", RAW),
        "teacher": under("backbone.", EMA),
        "dino_loss": {"center": EMA["bn1.bias"]},
    },
    "side by side": {"state_dict": {**under("student.", RAW), **under("teacher.", EMA)}},
    "Lightning": {"state_dict": {**under("model.", RAW), **under("model_ema.module.", EMA)}},
    "the whole file": {**under("net.", RAW), **under("ema_net.", EMA)},
    "stochastic weight averaging": {
        "model_state": RAW,
        "swa_model": {**under("module.", EMA), "n_averaged": torch.tensor(9)},
    },
    "in a callback": {"state_dict": RAW, "callbacks": {"Average": {"ema_weights": EMA}}},
}


def holds(path: Path, expected: State, weights: str | None) -> bool:
    found = read_checkpoint(path, "torchvision", weights).backbone
    return all(found[name].equal(expected[name]) for name in expected)


@pytest.mark.parametrize("name", FILES)
def test_the_average_is_read_and_both_can_be_chosen(name: str, tmp_path: Path) -> None:
    torch.save(FILES[name], tmp_path / "file.pth")
    for weights, expected in ((None, EMA), ("ema", EMA), ("raw", RAW)):
        assert holds(tmp_path / "file.pth", expected, weights), weights
    notes = read_checkpoint(tmp_path / "file.pth").notes
    assert any(note.startswith("read the weights ema: ") and "also has raw: " in note for note in notes)


def test_safetensors_with_two_sets(tmp_path: Path) -> None:
    save_file({**under("model.", RAW), **under("model_ema.", EMA)}, tmp_path / "file.safetensors")
    assert holds(tmp_path / "file.safetensors", EMA, None)
    assert holds(tmp_path / "file.safetensors", RAW, "raw")


@pytest.mark.parametrize("names", [("online", "target"), ("encoder_q", "encoder_k"), ("base", "momentum")])
def test_of_an_online_and_a_target_network_the_online_one_is_read(names: tuple[str, str], tmp_path: Path) -> None:
    torch.save({"state_dict": {**under(f"{names[0]}.", RAW), **under(f"{names[1]}.", EMA)}}, tmp_path / "file.pth")
    for weights, expected in ((None, RAW), ("ema", EMA), ("raw", RAW), (f"state_dict.{names[1]}", EMA)):
        assert holds(tmp_path / "file.pth", expected, weights), weights


def test_mocos_momentum_encoder_can_be_read_in_place_of_the_base_encoder(tmp_path: Path) -> None:
    model = Official(OfficialResNet, hidden=8, dimension=8, classes=0, temperature=1.0)
    randomise(model)
    path = save_official(tmp_path / "file.pth", model, "resnet")
    for weights, encoder in ((None, model.base_encoder), ("ema", model.momentum_encoder)):
        found = read_checkpoint(path, "moco_v3", weights)
        assert found.backbone["conv1.weight"].equal(encoder.conv1.weight)
        assert (found.method is None) == (weights == "ema")
        assert any("momentum_encoder" in note and "base_encoder" in note for note in found.notes)


@pytest.mark.parametrize(
    ("content", "weights", "complaint"),
    [
        ({"state_dict": RAW}, "ema", r"no set 'ema' in this file; there is raw: state_dict \(80 tensors\); say raw"),
        ({"state_dict": RAW, "state_dict_ema": EMA}, "emma", "no set 'emma'.*say raw, ema"),
        ({"model": RAW, "state_dict": EMA}, None, "several sets are raw; .*say weights: model or state_dict"),
        ({"ema_0.999": RAW, "ema_0.9999": EMA}, None, r"several sets are ema; .*ema_0\.999 or ema_0\.9999"),
        ({"model": RAW, "ema": {"shadow_params": list(EMA.values())}}, None, "list of tensors without names"),
        ({"model": RAW, "model_ema": under("x", EMA)}, None, "no format recognises it"),
    ],
)
def test_what_leaves_the_choice_open_is_refused(
    content: Any, weights: str | None, complaint: str, tmp_path: Path
) -> None:
    if len(RAW) != 80:
        complaint = complaint.replace("80", str(len(RAW)))
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(InputError, match=complaint):
        read_checkpoint(tmp_path / "file.pth", weights=weights)


def test_a_set_can_be_named_and_an_optimiser_is_none(tmp_path: Path) -> None:
    torch.save({"ema_0.999": RAW, "ema_0.9999": EMA, "optimizer": network(2)}, tmp_path / "file.pth")
    assert holds(tmp_path / "file.pth", EMA, "ema_0.9999")
    file = read_foreign(tmp_path / "file.pth", "ema_0.999")
    assert len(file.choice.sets) == 2
    assert import_file(file).backbone["conv1.weight"].equal(RAW["conv1.weight"])


FEW = {name: EMA[name] for name in list(EMA)[:5]}
NOT_FIRST = {name: EMA[name] for name in list(EMA)[-6:-1]}
PARTS: dict[str, Any] = {
    "beside it": {"state_dict": RAW, "ema": NOT_FIRST},
    "its first tensors": {"state_dict": RAW, "model_ema": FEW},
    "in a module": {"model": RAW, "ema": {"module": FEW, "decay": torch.tensor(0.9), "updates": torch.tensor(3)}},
    "under another prefix": {"model": RAW, "teacher": under("module.head.", NOT_FIRST)},
    "of a momentum encoder": {"model": RAW, "momentum": FEW},
    "in one mapping": {"state_dict": {**under("model.", RAW), **under("model_ema.", NOT_FIRST)}},
    "without names": {"model": RAW, "ema": {"shadow_params": list(FEW.values())}},
}


@pytest.mark.parametrize("name", PARTS)
def test_an_average_of_a_part_is_listed_and_not_read(name: str, tmp_path: Path) -> None:
    torch.save(PARTS[name], tmp_path / "file.pth")
    assert holds(tmp_path / "file.pth", RAW, None)
    assert holds(tmp_path / "file.pth", RAW, "raw")
    (note,) = [n for n in read_checkpoint(tmp_path / "file.pth").notes if n.startswith("read the weights raw: ")]
    assert f"(5 tensors; too few beside {len(RAW)}, so not read by default)" in note
    with pytest.raises(InputError, match=r"part of the network can't be read as one; say raw|missing"):
        read_checkpoint(tmp_path / "file.pth", weights="ema")


def test_a_part_does_not_hide_a_whole_average_of_its_word(tmp_path: Path) -> None:
    torch.save({"model": RAW, "ema": {"norms": NOT_FIRST, "bias": NOT_FIRST, "module": EMA}}, tmp_path / "file.pth")
    for weights in (None, "ema", "ema.module"):
        assert holds(tmp_path / "file.pth", EMA, weights)


NO_BUFFERS = {name: tensor for name, tensor in EMA.items() if not name.endswith(("_mean", "_var", "_tracked"))}


@pytest.mark.parametrize("average", [NO_BUFFERS, {"shadow_params": list(NO_BUFFERS.values())}])
def test_a_refused_average_says_how_the_other_set_is_read(average: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": RAW, "ema": average}, tmp_path / "file.pth")
    with pytest.raises(InputError, match=r"; this is ema: ema.*, another set is read with weights: raw$"):
        read_checkpoint(tmp_path / "file.pth")
    assert holds(tmp_path / "file.pth", RAW, "raw")
