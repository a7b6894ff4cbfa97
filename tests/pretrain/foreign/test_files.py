"""What a foreign file may hold."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.checkpoint import CheckpointHeader
from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint, write_checkpoint
from pretrain.foreign.parts.reading import read_foreign

Ours = Callable[..., Path]
STATE = {"weight": torch.ones(2)}


class Executes:
    """Unpickled without care, it makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_executed(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    content = {"state_dict": STATE, "epoch": Executes(tmp_path / "executed")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"refused, it needs posix\.mkdir .* only tensors are"):
        read_foreign(path)
    assert not (tmp_path / "executed").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "executed").exists(), "the file would have done it"


def test_a_file_that_needs_a_class_says_which(tmp_path: Path) -> None:
    torch.save({"model": STATE, "args": Fraction(1, 10)}, tmp_path / "deit.pth")
    with pytest.raises(InputError, match=r"fractions\.Fraction .* save its tensors alone"):
        read_foreign(tmp_path / "deit.pth")


def test_a_scripts_settings_are_skipped_and_code_in_them_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "dino.pth"
    torch.save({"model": STATE, "args": argparse.Namespace(lr=0.1, crops=(0.05, 0.4))}, path)
    assert read_foreign(path).state.keys() == STATE.keys()
    torch.save({"model": STATE, "args": argparse.Namespace(lr=Executes(tmp_path / "executed"))}, path)
    with pytest.raises(InputError, match=r"refused, it needs posix\.mkdir"):
        read_foreign(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(share: float, ending: str, ours: Ours, tmp_path: Path) -> None:
    whole = tmp_path / f"whole{ending}"
    write_checkpoint(read_checkpoint(ours("tiny_vit", 16)), "timm", whole)
    content = whole.read_bytes()
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="truncated or no"):
        read_checkpoint(cut)


@pytest.mark.parametrize("place", [b"state_dict", b"weight", bytes.fromhex("0000803f") * 100])
def test_one_byte_changed_in_a_pickled_file_is_noticed(place: bytes, tmp_path: Path) -> None:
    whole, altered = tmp_path / "whole.pth", tmp_path / "altered.pth"
    torch.save({"state_dict": {"weight": torch.ones(10_000)}}, whole)
    content = bytearray(whole.read_bytes())
    content[content.index(place)] ^= 1
    altered.write_bytes(content)
    read_foreign(whole)
    with pytest.raises(InputError, match="altered"):
        read_foreign(altered)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "holds no weights"),
        ([1, 2], "holds a list"),
        ({"a": 1}, "no tensors: a"),
        ({"state_dict": {"a": torch.tensor([1.0, float("nan")])}}, "NaN or infinite weights in a"),
        ({"a": torch.tensor([1e300], dtype=torch.float64)}, "NaN or infinite weights in a"),
        ({"module.encoder_q.conv1.weight": torch.ones(1)}, "no format recognises it"),
    ],
)
def test_what_is_no_checkpoint_is_refused(content: Any, complaint: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(InputError, match=complaint):
        read_checkpoint(tmp_path / "file.pth")


ONES = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (ONES.long(), "int64"),
        (ONES.bool(), "bool"),
        (ONES.to(torch.complex64), "complex64"),
        (ONES.to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (ONES.to_sparse(), "sparse or nested float32"),
        (ONES.to("meta"), r"without numbers \(meta\)"),
    ],
)
def test_weights_that_are_no_plain_floating_point_numbers_are_refused(
    tensor: torch.Tensor, kind: str, tmp_path: Path
) -> None:
    torch.save({"conv1.weight": ONES, "fc.weight": tensor}, tmp_path / "file.pth")
    with pytest.raises(InputError, match=f"float64; fc.weight is {kind}$"):
        read_foreign(tmp_path / "file.pth")


def test_counters_of_batch_normalisation_may_be_integers(tmp_path: Path) -> None:
    state = {"bn1.weight": ONES, "bn1.num_batches_tracked": torch.tensor(7)}
    torch.save(state, tmp_path / "file.pth")
    assert read_foreign(tmp_path / "file.pth").state.keys() == state.keys()


def test_the_wrong_format_and_the_wrong_role_are_refused(ours: Ours, tmp_path: Path) -> None:
    path = ours("tiny_vit", 16)
    write_checkpoint(read_checkpoint(path), "timm", tmp_path / "timm.pth")
    with pytest.raises(InputError, match="not of format moco_v3 but timm"):
        read_checkpoint(tmp_path / "timm.pth", "moco_v3")
    with pytest.raises(InputError, match="unknown format 'tim'; did you mean 'timm'"):
        read_checkpoint(tmp_path / "timm.pth", "tim")
    header = path.with_suffix(".json")
    content = {**json.loads(header.read_text()), "role": "method"}
    header.write_text(CheckpointHeader.model_validate(content).sealed().model_dump_json())
    with pytest.raises(InputError, match="holds a method"):
        read_checkpoint(path)


def test_a_half_precision_file_becomes_single_precision(ours: Ours, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(ours("tiny_vit", 16))
    torch.save({name: tensor.half() for name, tensor in checkpoint.backbone.items()}, tmp_path / "half.pth")
    # Without a header: 64 channels are one head by timm's rule, which is no backbone of ours.
    with pytest.raises(InputError, match="12 or timm's 1"):
        read_checkpoint(tmp_path / "half.pth")
    resnet = read_checkpoint(ours("tiny_resnet", 16)).backbone
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in resnet.items()}
    torch.save(half, tmp_path / "half-resnet.pth")
    found = read_checkpoint(tmp_path / "half-resnet.pth").backbone
    assert {tensor.dtype for tensor in found.values()} == {torch.float32, torch.int64}
