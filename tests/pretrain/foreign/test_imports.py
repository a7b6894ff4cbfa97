"""The command line, and sweeps whose checkpoints were trained elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
from pretrain.checkpoint import file_sha256, read_header
from results.declarations import OwnDeclaration, find_declaration
from results.frame import to_frame
from results.record import read_record
from results.reference import load_reference
from results.store import load_runs
from tests.pretrain.foreign.conftest import SWEEP
from tests.pretrain.foreign.layouts import randomise

Command = Callable[..., tuple[int, str, str]]


def test_an_imported_checkpoint_is_judged_like_any_other(command, released, write, tmp_path) -> None:
    sweep, runs = write(SWEEP.format(checkpoint=released)), tmp_path / "runs"
    status, _, err = command("run", sweep, "--runs", runs, "--executor", "inline", "--yes")
    assert status == 0, err
    (record_path,) = runs.glob("import-*/record.json")
    record = read_record(record_path)
    weights = record_path.parent / "checkpoints"
    assert {reference.role: reference.sha256 for reference in record.checkpoints} == {
        "backbone": file_sha256(weights / "backbone.safetensors"),
        "method": file_sha256(weights / "method.safetensors"),
        "source": file_sha256(released),
    }
    header = read_header(weights / "backbone.safetensors")
    assert (header.method, header.epochs, header.run_id) == ("moco_v3_official", 300, record.run_id)

    frame = to_frame(load_runs(runs).runs)
    judged = frame[frame["protocol"] == "knn"].iloc[0]
    assert (judged["method"], judged["pretrain_epochs"], judged["global_batch_size"]) == ("moco_v3_official", 300, 4096)
    assert judged["checkpoint_sha256"] == header.sha256

    status, out, _ = command("evaluate", "knn", record.run_id, "--recipe", "knn-digits", "--runs", runs)
    assert status == 0
    assert judged["run_id"] in out, "the run a sweep made and the one made by hand are one"
    assert command("run", sweep, "--runs", runs, "--executor", "inline", "--yes")[0] == 0
    assert record_path.stat().st_mtime_ns == next(runs.glob("import-*/record.json")).stat().st_mtime_ns


def test_where_the_file_lies_is_no_part_of_the_run(released, write, tmp_path) -> None:
    ids = [
        plan_sweep(load_sweep(str(write(SWEEP.format(checkpoint=place))))).run_ids
        for place in (released, f"/elsewhere/{released.name}", f"/elsewhere/other-{released.name}")
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("moco_v3\n", "moco_3\n", r"imported.yaml:4: unknown format 'moco_3'; did you mean 'moco_v3'"),
        (
            "twelve_heads",
            "twelve_head",
            r"imported.yaml:5: unknown backbone 'twelve_head'; did you mean",
        ),
        ("epochs:", "epoch:", r"imported.yaml:5: unknown key 'epoch'; did you mean 'epochs'"),
        ("    format", "    fromat", r"imported.yaml:4: unknown key 'fromat'; did you mean 'format'"),
        ("method: moco_v3_official}", "method: moco_v3_oficial}", r"imported.yaml:7: unknown method"),
        ("    as:", "    sha256: abc\n    as:", r"imported.yaml:5: sha256: write 64 hexadecimal digits"),
        ("{checkpoint}", "${{NOWHERE_DIR}}/a.pth", r"environment variable NOWHERE_DIR is not set"),
        ("{checkpoint}", "/nowhere/a.pth", r"checkpoint /nowhere/a.pth: no such file"),
    ],
)
def test_a_wrong_entry_is_one_line_and_status_two(
    old: str, new: str, complaint: str, command, released, write, tmp_path
) -> None:
    text = SWEEP.replace(old, new, 1)
    assert text != SWEEP
    sweep = write(text.format(checkpoint=released))
    status, _, err = command("run", sweep, "--runs", tmp_path / "runs", "--executor", "inline", "--yes")
    assert status == 2
    assert complaint in err.strip()
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    as:", f"    sha256: {'a' * 64}\n    as:", f"but the sweep says {'a' * 64}"),
        ("twelve_heads", "tiny_vit", "holds twelve_heads, but the sweep says tiny_vit"),
        ("moco_v3\n", "opera\n", "not of format opera but moco_v3"),
        ("epochs: 300", "epochs: 100", "trained for 300 epochs, but the sweep says 100"),
        ("moco_v3_official", "supervised", "trained with moco_v3, but the sweep says supervised"),
    ],
)
def test_another_file_than_declared_fails_the_run(
    old: str, new: str, complaint: str, command, released, write, tmp_path
) -> None:
    text = SWEEP.replace(old, new).format(checkpoint=released)
    status, _, _ = command("run", write(text), "--runs", tmp_path / "runs", "--executor", "inline", "--yes")
    assert status == 1
    (failure,) = tmp_path.glob("runs/import-*/failure.json")
    assert complaint in json.loads(failure.read_text(encoding="utf-8"))["error"]
    assert not list(tmp_path.glob("runs/import-*/checkpoints/*"))


def test_inspect_and_convert_an_official_file(command, released, tmp_path) -> None:
    status, out, _ = command("checkpoint", "inspect", released)
    shown = dict(line.split(": ", 1) for line in out.splitlines())
    assert status == 0
    assert (shown["format"], shown["role"], shown["backbone"]) == ("moco_v3", "method", "twelve_heads")
    assert shown["sha256"] == file_sha256(released)
    assert "embedding_dimension 8" in shown["method_options"]

    status, with_keys, _ = command("checkpoint", "inspect", released, "--keys")
    tensors = torch.load(released, weights_only=True)["state_dict"]
    assert status == 0
    lines = with_keys.removeprefix(out).splitlines()
    assert [line.partition(": ")[0] for line in lines] == list(tensors)
    assert "module.base_encoder.cls_token: (1, 1, 48) float32" in lines
    assert "module.base_encoder.head.1.num_batches_tracked: () int64" in lines

    folder = tmp_path / "ours"
    status, out, _ = command("checkpoint", "convert", released, "--to", "opera_bench", "--out", folder)
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "backbone.json",
        "backbone.safetensors",
        "method.json",
        "method.safetensors",
    ]
    for ours in (folder / "backbone.safetensors", folder):
        status, out, _ = command("checkpoint", "inspect", ours)
        assert status == 0
        assert "format: opera_bench" in out
    for arguments, complaint in (
        ((released, "--to", "opera_bench", "--out", folder), "exists already"),
        ((released, "--to", "moco_v3", "--out", tmp_path / "x"), "can't write this format"),
        ((folder / "method.safetensors", "--to", "timm", "--out", tmp_path / "x.pth"), "holds a method"),
        ((released, "--from", "timm", "--to", "timm", "--out", tmp_path / "x.pth"), "not of format timm but moco_v3"),
    ):
        status, _, err = command("checkpoint", "convert", *arguments)
        assert (status, len(err.strip().splitlines())) == (2, 1)
        assert complaint in err
    assert not (tmp_path / "x.pth").exists()


def test_planning_imports_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom bench.plan.graph import plan_sweep\nfrom bench.sweep.load import load_sweep\n"
        "print(len(plan_sweep(load_sweep('official-checkpoints')).runs), 'torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10", "False"]


def test_the_official_table_repeats_what_the_authors_report() -> None:
    declaration = find_declaration("official-checkpoints")
    assert isinstance(declaration, OwnDeclaration)
    published = load_reference("moco_v3_official").tables["linear"].rows
    assert tuple((*row.labels, row.official["Top-1 Acc"]) for row in declaration.rows) == published
    asked = [(row.where["backbone"], row.where["pretrain_epochs"]) for row in declaration.rows]
    planned = [run.config["pretrain"] for run in plan_sweep(load_sweep("official-checkpoints")).runs[:5]]
    assert asked == [(facts["backbone"], facts["epochs"]) for facts in planned]
    assert {facts["method"] for facts in planned} == {declaration.where["method"]}


def test_torch_reads_what_convert_wrote_without_this_suite(command, released, tmp_path) -> None:
    assert command("checkpoint", "convert", released, "--to", "timm", "--out", tmp_path / "out.pth")[0] == 0
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    official = torch.load(released, weights_only=True)["state_dict"]
    assert content["state_dict"]["cls_token"].equal(official["module.base_encoder.cls_token"])


def test_the_set_of_weights_that_a_sweep_chooses_is_read_and_recorded(command, write, tmp_path) -> None:
    from pretrain.backbones.lookup import find_backbone

    networks = [find_backbone("tiny_resnet").build(16) for _ in range(2)]
    for network in networks:
        randomise(network)
    raw, ema = (network.state_dict() for network in networks)
    torch.save({"state_dict": raw, "state_dict_ema": ema}, tmp_path / "two.pth")
    text = (
        SWEEP.replace("format: moco_v3", "format: timm").replace("twelve_heads", "tiny_resnet").replace("_official", "")
    )
    text = text.replace("method: moco_v3", "method: supervised_elsewhere").format(checkpoint=tmp_path / "two.pth")
    text = text.partition("evaluate:")[0]
    ids = set()
    for weights, expected in ((None, ema), ("ema", ema), ("raw", raw)):
        runs = tmp_path / f"runs-{weights}"
        line = f"    weights: {weights}\n    as:" if weights else "    as:"
        sweep = write(text.replace("    as:", line))
        status, _, err = command("run", sweep, "--runs", runs, "--executor", "inline", "--yes")
        assert status == 0, err
        (record_path,) = runs.glob("import-*/record.json")
        record = read_record(record_path)
        ids.add(record.run_id)
        (source,) = (reference for reference in record.checkpoints if reference.role == "source")
        assert source.weights == ("raw: state_dict" if weights == "raw" else "ema: state_dict_ema")
        written = load_file(record_path.parent / "checkpoints" / "backbone.safetensors")
        assert written["conv1.weight"].equal(expected["conv1.weight"])
    assert len(ids) == 3
    sweep = write(text.replace("    as:", "    weights: emma\n    as:"))
    assert command("run", sweep, "--runs", tmp_path / "runs", "--executor", "inline", "--yes")[0] == 1
    (failure,) = tmp_path.glob("runs/import-*/failure.json")
    assert "no set 'emma' in this file" in json.loads(failure.read_text(encoding="utf-8"))["error"]


def test_inspect_and_convert_show_and_choose_the_set(command, tmp_path) -> None:
    from pretrain.backbones.lookup import find_backbone

    state = find_backbone("tiny_resnet").build(16).state_dict()
    torch.save({"state_dict": state, "state_dict_ema": {k: v + 1 for k, v in state.items()}}, tmp_path / "two.pth")
    status, out, _ = command("checkpoint", "inspect", tmp_path / "two.pth")
    size = len(state)
    assert status == 0
    assert f"weights: raw: state_dict ({size} tensors)\nweights: ema: state_dict_ema ({size} tensors) (read)" in out
    status, out, _ = command(
        "checkpoint", "convert", tmp_path / "two.pth", "--weights", "raw", "--to", "timm", "--out", tmp_path / "raw.pth"
    )
    assert (status, f"read the weights raw: state_dict ({size} tensors)" in out) == (0, True)
    assert torch.load(tmp_path / "raw.pth")["state_dict"]["conv1.weight"].equal(state["conv1.weight"])
    status, _, err = command("checkpoint", "inspect", tmp_path / "two.pth", "--weights", "teacher")
    assert status == 2
    assert "say raw, ema" in err
