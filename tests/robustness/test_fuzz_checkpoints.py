"""Seeded damage to foreign checkpoints: each case is read as complete, or refused in one sentence within a second.

``OPERA_BENCH_FUZZ_CASES`` says how many cases of all kinds are drawn together.
"""

from __future__ import annotations

import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pretrain.backbones.lookup import find_backbone
from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint
from tests.pretrain.foreign.layouts import randomise
from tests.robustness.conftest import Tally, fuzz_cases
from tests.robustness.limits import SECONDS, timed

CASES = fuzz_cases(200, tests=9)
MEGABYTES = 500
WRAPS: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
    lambda state: state,
    lambda state: {"state_dict": state, "epoch": 3},
    lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
    lambda state: {"state_dict": {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}},
]
STRANGE: list[Any] = [None, 3, "text", 1.5, [], {}, [1, [2, [3]]], {"a": {"b": {}}}, (), True, b"bytes", -(10**400)]


@pytest.fixture(scope="module", params=["tiny_resnet", "tiny_vit"])
def network(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = find_backbone(request.param).build(16)
    randomise(model)  # of the ViT's position embedding too: then the shapes tell its heads
    classifier = "fc" if request.param == "tiny_resnet" else "head"
    width = find_backbone(request.param).INFO.width
    return {**model.state_dict(), f"{classifier}.weight": torch.randn(10, width), f"{classifier}.bias": torch.zeros(10)}


def judge(path: Path, what: str) -> dict[str, Tensor] | None:
    """The backbone of the file, or None where it is refused. Anything but a quick InputError fails the test."""

    def case() -> tuple[dict[str, Tensor] | None, str]:
        try:
            return dict(read_checkpoint(path).backbone), ""
        except InputError as refusal:
            return None, str(refusal)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (found, message), seconds = timed(case)
    assert not message or message.isprintable(), what
    assert len(message) < 5000, what
    assert seconds < SECONDS, what
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024, what
    return found


def damaged_bytes(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    # The front of a safetensors file and the end of a zip archive describe the rest: most changes go there.
    edge = draw.choice([len(changed), min(400, len(changed)), min(20_000, len(changed))])
    for _ in range(draw.choice([1, 1, 2, 8])):
        at = draw.randrange(edge)
        at = at if draw.random() < 0.5 else len(changed) - 1 - at
        how = draw.randrange(4)
        if how == 0:
            changed[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            changed[at : at + draw.randrange(1, 9)] = draw.randbytes(draw.randrange(1, 9))
        elif how == 2:
            del changed[at : at + draw.randrange(1, 200)]
        else:
            changed[at:at] = changed[at : at + draw.randrange(1, 200)]
        if len(changed) < 2 * 400:
            break
        edge = min(edge, len(changed))
    return bytes(changed)


@pytest.mark.parametrize("ending", [".pth", ".old.pth", ".safetensors"])
def test_damaged_bytes(ending: str, network: dict[str, Tensor], tmp_path: Path, tally: Tally) -> None:
    draw = random.Random(f"{ending} {len(network)}")
    path = tmp_path / f"file{ending}"
    if ending == ".safetensors":
        save_file(network, path)
    else:
        torch.save({"state_dict": network, "epoch": 3}, path, _use_new_zipfile_serialization=ending == ".pth")
    content = path.read_bytes()
    for case in range(CASES):
        path.write_bytes(damaged_bytes(draw, content))
        tally("fuzz cases, checkpoints", 1)
        found = judge(path, f"{ending} case {case}")
        if found is not None:
            shapes = {
                name: tensor.shape for name, tensor in network.items() if name.partition(".")[0] not in ("fc", "head")
            }
            assert {name: tensor.shape for name, tensor in found.items()} == shapes, f"{ending} case {case}"
        if found is not None and ending == ".pth":
            assert all(found[name].equal(network[name]) for name in found), f"case {case}: a changed weight unseen"


def damaged_state(draw: random.Random, state: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A state dict that lacks a weight or has another in its place, and what was done."""
    changed = dict(state)
    key = draw.choice([name for name in changed if name.partition(".")[0] not in ("fc", "head")])
    tensor = changed[key]
    how = draw.choice(["drop", "rename", "shape", "strange", "nest", "dtype", "nan", "list", "expand"])
    if how in ("drop", "rename", "nest"):
        del changed[key]
    if how == "rename":
        changed[draw.choice([f"x{key}", f"{key}.", f"module.{key}", f"model_ema.{key}", key.upper(), "\x1b[0m"])] = (
            tensor
        )
    elif how == "nest":
        changed.setdefault("backbone", {})[key] = tensor
    elif how == "shape":
        extra = (*tensor.shape, draw.choice([0, 1, 2]))
        changed[key] = draw.choice([torch.zeros(extra), tensor.flatten()[:0], torch.zeros(7, 7)])
    elif how == "strange":
        changed[key] = draw.choice(STRANGE)
    elif how == "dtype":
        changed[key] = draw.choice(
            [tensor.bool(), tensor.to(torch.complex64), tensor.to(torch.int16), tensor.to("meta")]
        )
    elif how == "nan":
        changed[key] = torch.full(tensor.shape, float("nan"))
    elif how == "list":
        changed[key] = tensor.flatten()[:20].tolist()
    elif how == "expand":
        changed[key] = torch.zeros(1).expand(draw.choice([10, 10**9]))
    return changed, f"{how} {key}"


def test_a_state_dict_that_lacks_a_weight_is_never_read(
    network: dict[str, Tensor], tmp_path: Path, tally: Tally
) -> None:
    draw, path = random.Random(len(network)), tmp_path / "file.pth"
    for case in range(CASES):
        state, what = damaged_state(draw, dict(network))
        torch.save(draw.choice(WRAPS)(state), path)
        assert judge(path, f"case {case}: {what}") is None, f"case {case}: {what} was read as complete"
        tally("fuzz cases, state dicts", 1)


@pytest.mark.parametrize("wrap", WRAPS)
def test_the_undamaged_file_is_read(wrap: Any, network: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(wrap(network), tmp_path / "file.pth")
    found = judge(tmp_path / "file.pth", "whole")
    assert found is not None
    assert all(found[name].equal(network[name]) for name in found)


def test_random_structures_are_refused(tmp_path: Path, tally: Tally) -> None:
    draw, path = random.Random(0), tmp_path / "file.pth"

    def value(depth: int) -> Any:
        if depth == 0 or draw.random() < 0.3:
            return draw.choice([*STRANGE, torch.ones(2), torch.ones(2, 3).expand(2, 3), torch.tensor(3)])
        keys = [
            "state_dict",
            "model",
            "ema",
            "teacher",
            "module.",
            "model.",
            "meta",
            "epoch",
            "optimizer",
            "",
            3,
            None,
            (1,),
        ]
        if draw.random() < 0.5:
            return {draw.choice(keys): value(depth - 1) for _ in range(draw.randrange(6))}
        return [value(depth - 1) for _ in range(draw.randrange(6))]

    for case in range(CASES):
        torch.save(value(5), path)
        assert judge(path, f"case {case}") is None
        tally("fuzz cases, state dicts", 1)
