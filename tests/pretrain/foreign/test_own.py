"""Our own files: where they are found, and that a header is not believed against the weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.cli import main
from pretrain.checkpoint import CheckpointHeader, file_sha256
from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint, write_checkpoint
from pretrain.foreign.parts.own import read_own

Ours = Callable[..., Path]


def with_header(path: Path, **facts: Any) -> Path:
    header = path.with_suffix(".json")
    content = {**json.loads(header.read_text()), "sha256": file_sha256(path), **facts}
    header.write_text(CheckpointHeader.model_validate(content).sealed().model_dump_json())
    return path


@pytest.mark.parametrize("where", ["", "checkpoints"])
def test_a_folder_of_ours_and_a_run_are_read_for_their_backbone(where: str, ours: Ours, tmp_path: Path) -> None:
    start = read_checkpoint(ours("tiny_vit", 16))
    write_checkpoint(start, "opera_bench", tmp_path / "run" / where)
    found = read_checkpoint(tmp_path / "run")
    assert found.format == "opera_bench"
    assert all(found.backbone[name].equal(start.backbone[name]) for name in start.backbone)
    with pytest.raises(InputError, match="nothing: no such checkpoint"):
        read_checkpoint(tmp_path / "nothing", "opera_bench")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds neither backbone\.safetensors nor model\.safetensors"):
        read_checkpoint(tmp_path / "empty")


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        ({"backbone": "vit_smal"}, "unknown backbone 'vit_smal'; did you mean 'vit_small'"),
        ({"backbone": "deit_small"}, "header says num_heads 4, deit_small has 6"),
        ({"num_heads": 12}, "header says num_heads 12, tiny_vit has 4"),
        ({"position_embedding": "learned"}, "header says position_embedding learned, tiny_vit has sincos-2d"),
        ({"image_size": 10**9}, "header says image_size 1000000000, the weights are of 16"),
    ],
)
def test_a_header_that_the_weights_do_not_bear_out_is_refused(
    facts: dict[str, Any], complaint: str, ours: Ours
) -> None:
    path = with_header(ours("tiny_vit", 16), **facts)
    with pytest.raises(InputError, match=rf"tiny_vit\.safetensors: .*{complaint}"):
        read_own(path)


def test_an_altered_file_shows_both_checksums_whole(ours: Ours) -> None:
    path = ours("tiny_vit", 16)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    told = json.loads(path.with_suffix(".json").read_text())["sha256"]
    with pytest.raises(InputError, match=f"its SHA-256 is {file_sha256(path)} and its header says {told}"):
        read_own(path)


def test_a_whole_method_is_checked_by_its_backbone(ours: Ours) -> None:
    path = ours("tiny_vit", 16)
    state = {f"backbone.{name}": tensor for name, tensor in load_file(path).items()}
    save_file({**state, "heads.class.0.weight": torch.ones(2)}, path)
    assert read_own(with_header(path, role="method"))[1].role == "method"
    state.pop("backbone.norm.bias")
    save_file(state, path)
    with pytest.raises(InputError, match=r"not tiny_vit: missing norm\.bias"):
        read_own(with_header(path))


def test_nan_in_a_file_of_ours_is_refused_under_its_own_name(ours: Ours) -> None:
    path = ours("tiny_vit", 16)
    save_file({**load_file(path), "norm.bias": torch.full((64,), float("nan"))}, path)
    with pytest.raises(InputError, match=r"tiny_vit\.safetensors: NaN or infinite weights in norm\.bias"):
        read_checkpoint(with_header(path))


@pytest.mark.parametrize("content", [b"\xff\xfe{}", b"[]", b""])
def test_a_header_that_is_none_is_refused(content: bytes, ours: Ours) -> None:
    path = ours("tiny_vit", 16)
    path.with_suffix(".json").write_bytes(content)
    with pytest.raises(InputError, match=r"tiny_vit\.json: not a checkpoint header"):
        read_checkpoint(path)


def test_weights_that_are_no_safetensors_file_are_refused(ours: Ours) -> None:
    path = ours("tiny_vit", 16)
    path.write_bytes(b"garbage" * 100)
    with_header(path)
    with pytest.raises(InputError, match=r"tiny_vit\.safetensors: no safetensors file"):
        read_checkpoint(path)


def test_inspect_on_the_command_line(
    ours: Ours, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def inspect(path: Path, *options: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["opera-bench", "checkpoint", "inspect", str(path), *options])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    path = ours("tiny_vit", 16)
    status, shown, _ = inspect(path)
    assert status == 0
    assert f"sha256: {file_sha256(path)}" in shown
    assert f"tensors: {len(load_file(path))}\n" in shown
    with_keys = inspect(path, "--keys")[1]
    assert with_keys.startswith(shown)
    assert with_keys.count("\n") == shown.count("\n") + len(load_file(path))
    assert "\npatch_embed.proj.weight: (64, 3, 4, 4) float32\n" in with_keys
    path.write_bytes(path.read_bytes()[:-4])
    status, _, said = inspect(path)
    assert (status, "truncated or altered" in said) == (2, True)
    assert inspect(tmp_path / "none")[0] == 2
