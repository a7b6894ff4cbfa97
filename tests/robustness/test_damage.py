"""One damaged bit anywhere in what a run leaves is noticed, or changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from bench.worker.stages import verified_checkpoint
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import header_path, load_backbone, read_header, save_checkpoint
from pretrain.engine.state import load_training_state, save_training_state
from pretrain.errors import InputError
from results.errors import InputError as ResultsInputError
from results.frame import to_rows
from results.index import INDEX, load_rows
from results.record import CheckpointReference, DamagedRecord, OtherSchema, read_record, record_text
from results.runs import RunDirectory
from results.store import load_runs
from tests.results.synthetic import evaluation, make_record, pretraining, write_run
from tests.robustness.conftest import FUZZ_CASES_VARIABLE, Tally

BLOCK_BYTES = 4096
INDEX_SAMPLES = int(os.environ.get(FUZZ_CASES_VARIABLE, "300"))


def flipped(content: bytes, positions: Iterator[int] | range) -> Iterator[bytes]:
    """``content`` with one bit of the byte at each position turned."""
    for position in positions:
        yield content[:position] + bytes([content[position] ^ (1 << position % 8)]) + content[position + 1 :]


def test_every_byte_of_a_record(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / write_run(tmp_path, pretraining(), metrics={"loss": 1.5}) / "record.json"
    content = path.read_bytes()
    for damaged in flipped(content, range(len(content))):
        tally("damaged bits, records", 1)
        path.write_bytes(damaged)
        with pytest.raises((DamagedRecord, OtherSchema)):
            read_record(path)
    path.write_bytes(content)
    assert read_record(path).metrics == {"loss": 1.5}


def test_every_byte_of_a_configuration(tmp_path: Path, tally: Tally) -> None:
    """A byte of the words that cite a recipe, or of a space, may change; nothing else."""
    run = RunDirectory(tmp_path / write_run(tmp_path, pretraining(changed=("epochs",)), state="planned"))
    content = run.config.read_bytes()
    planned = run.read_config()
    del planned["config"]["pretrain"]["recipe"]["source"]
    for damaged in flipped(content, range(len(content))):
        tally("damaged bits, configurations", 1)
        run.config.write_bytes(damaged)
        try:
            found = run.read_config()
        except ResultsInputError:
            continue
        found["config"]["pretrain"]["recipe"].pop("source", None)
        assert {name: found[name] for name in planned} == planned


@pytest.mark.parametrize("key", ["seed", "global_batch_size", "epochs", "method"])
def test_an_edited_configuration_is_another_runs(tmp_path: Path, key: str) -> None:
    run = RunDirectory(tmp_path / write_run(tmp_path, pretraining(), state="planned"))
    content = yaml.safe_load(run.config.read_text())
    content["config"]["pretrain"][key] = "opera2" if key == "method" else 77
    run.config.write_text(yaml.safe_dump(content))
    with pytest.raises(ResultsInputError, match="it was edited; delete the directory"):
        run.read_config()
    (problem,) = load_runs(tmp_path).problems
    assert "config.yaml" in problem


def test_any_byte_of_the_index_changes_no_number(tmp_path: Path, tally: Tally) -> None:
    for seed in range(3):
        subject = pretraining(seed=seed)
        parent = write_run(tmp_path, subject)
        write_run(tmp_path, evaluation(subject), parents=(parent,), metrics={"top1": 90.0 + seed})
    expected = to_rows(load_runs(tmp_path).runs)
    assert load_rows(tmp_path)[0] == expected
    index = tmp_path / INDEX
    content = index.read_bytes()
    for damaged in flipped(content, range(0, len(content), max(len(content) // INDEX_SAMPLES, 1))):
        tally("damaged bits, the index", 1)
        index.write_bytes(damaged)
        assert load_rows(tmp_path)[0] == expected


def test_a_record_that_changed_under_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / write_run(tmp_path, pretraining(), metrics={"loss": 1.5}) / "record.json"
    load_rows(tmp_path)
    before = path.stat()
    record = read_record(path)
    path.write_text(record_text(record.model_copy(update={"metrics": {"loss": 2.5}})))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert [row["value"] for row in load_rows(tmp_path)[0]] == [2.5]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A backbone in the directory of a finished pretraining whose record names it."""
    config = pretraining("random_init")
    run = RunDirectory(tmp_path / write_run(tmp_path, config))
    torch.manual_seed(0)
    module = find_backbone("tiny_vit")
    path = run.checkpoints / "backbone.safetensors"
    header = {
        "role": "backbone",
        "backbone": "tiny_vit",
        "num_heads": module.INFO.num_heads,
        "position_embedding": module.INFO.position_embedding,
        "image_size": 16,
        "normalisation": {"mean": (0.3,) * 3, "std": (0.4,) * 3},
        "method": "random_init",
        "epochs": 0,
        "run_id": run.run_id,
    }
    written = save_checkpoint(path, module.build(16).state_dict(), header)
    import hashlib

    reference = CheckpointReference(
        role="backbone",
        path="checkpoints/backbone.safetensors",
        sha256=written.sha256,
        header_sha256=hashlib.sha256(header_path(path).read_bytes()).hexdigest(),
    )
    record = make_record(config, {"top1": 90.0}).model_copy(update={"checkpoints": (reference,)})
    run.record.write_text(record_text(record))
    return path


def parent_of(checkpoint: Path) -> RunDirectory:
    return RunDirectory(checkpoint.parent.parent)


def test_every_byte_of_a_header(checkpoint: Path, tally: Tally) -> None:
    path = header_path(checkpoint)
    content, header = path.read_bytes(), read_header(checkpoint)
    for damaged in flipped(content, range(len(content))):
        tally("damaged bits, headers", 1)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is not the recorded"):
            verified_checkpoint(parent_of(checkpoint))
        try:
            assert read_header(checkpoint) == header, "a byte of white space"
        except InputError:
            continue
    path.write_bytes(content)
    assert verified_checkpoint(parent_of(checkpoint))[0] == checkpoint


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 32},
        {"num_heads": 2},
        {"normalisation": {"mean": [0.0] * 3, "std": [1.0] * 3}},
        {"epochs": 300},
    ],
)
def test_an_edited_header_is_refused_wherever_the_checkpoint_is_read(checkpoint: Path, change: dict) -> None:
    path = header_path(checkpoint)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match="altered, its content is not that of its checksum"):
        load_backbone(checkpoint)
    with pytest.raises(InputError, match="put the file back"):
        verified_checkpoint(parent_of(checkpoint))


def test_a_header_with_a_new_checksum_is_not_the_recorded_one(checkpoint: Path) -> None:
    header = read_header(checkpoint).model_copy(update={"image_size": 32}).sealed()
    header_path(checkpoint).write_text(header.model_dump_json())
    with pytest.raises(InputError, match="is not the recorded"):
        verified_checkpoint(parent_of(checkpoint))


def test_every_block_of_the_weights(checkpoint: Path, tally: Tally) -> None:
    content = checkpoint.read_bytes()
    blocks = [*range(0, len(content), BLOCK_BYTES), len(content) - 1]
    for damaged in flipped(content, iter(blocks)):
        tally("damaged bits, weights", 1)
        checkpoint.write_bytes(damaged)
        with pytest.raises(InputError, match="truncated or altered"):
            load_backbone(checkpoint)
        with pytest.raises(InputError, match="is not the recorded"):
            verified_checkpoint(parent_of(checkpoint))


def test_every_block_of_a_training_state(tmp_path: Path, tally: Tally) -> None:
    """A state that is damaged is refused; one that is read is what was written."""
    generator = torch.Generator().manual_seed(0)
    tensors = {f"weight{i}": torch.rand(40, 50, generator=generator) for i in range(6)}
    save_training_state(tmp_path, {"step": 7, "metrics": {"loss": 1.5}, **tensors})
    (path,) = tmp_path.glob("*.pt")
    content = path.read_bytes()
    positions = [*range(0, len(content), BLOCK_BYTES), *range(100, len(content), 997), len(content) - 1]
    for damaged in flipped(content, iter(positions)):
        tally("damaged bits, training states", 1)
        path.write_bytes(damaged)
        try:
            state = load_training_state(tmp_path)
        except InputError:
            continue
        assert state is not None
        assert (state["step"], state["metrics"]) == (7, {"loss": 1.5})
        assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
