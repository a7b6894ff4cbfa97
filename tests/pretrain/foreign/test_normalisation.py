"""The normalisation that a sweep states for an imported checkpoint: its run's id, header and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.plan.graph import PlannedRun, plan_sweep, subject_of
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep
from bench.worker.stages import run_import
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import read_header
from pretrain.subject import ImportedPretraining
from results.runs import RunDirectory

SWEEP = """\
name: simclr
pretrain:
  - checkpoint: {checkpoint}
    format: torchvision
    as: {{method: simclr, backbone: tiny_resnet, epochs: 1000, batch_size: 4096, dataset: digits{more}}}
"""


def planned(folder: Path, more: str = "") -> PlannedRun:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(checkpoint=folder / "converted.pth", more=more), encoding="utf-8")
    (run,) = plan_sweep(load_sweep(str(path))).runs
    return run


def test_it_is_part_of_the_run_and_its_header_if_the_sweep_states_it(tmp_path: Path) -> None:
    torch.save({"state_dict": find_backbone("tiny_resnet").build(16).state_dict()}, tmp_path / "converted.pth")
    without, by_name = planned(tmp_path), planned(tmp_path, ", normalisation: none")
    by_numbers = planned(tmp_path, ", normalisation: {mean: [0, 0, 0], std: [1, 1, 1]}")
    assert "normalisation" not in without.config["import"], "ids of earlier imports stay"
    assert without.run_id != by_name.run_id == by_numbers.run_id
    subject = subject_of(by_name.config)
    assert isinstance(subject, ImportedPretraining)
    assert subject.source.normalisation is not None
    run = RunDirectory(tmp_path / by_name.run_id)
    run_import(run, by_name.config, by_name.source)
    normalisation = read_header(run.checkpoints / "backbone.safetensors").normalisation
    assert (normalisation.mean, normalisation.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("stated", "complaint"),
    [
        ("nothing", r"sweep\.yaml:5: .*normalisation: write imagenet, inception, none, or \{mean"),
        ("{mean: [0, 0], std: [1, 1, 1]}", r"sweep\.yaml:5: "),
        ("{mean: [0, 0, 0], std: [0, 1, 1]}", r"sweep\.yaml:5: .*greater than 0"),
        ("{mean: [123.7, 116.3, 103.5], std: [58.4, 57.1, 57.4]}", r"sweep\.yaml:5: .*of pixels from 0 to 255 by 255"),
        ("{mean: [0.5, 0.5, 0.5], std: [1.0e-9, 1, 1]}", r"sweep\.yaml:5: .*deviations from 0\.001 to 1"),
    ],
)
def test_another_word_or_a_wrong_mapping_is_refused(stated: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=complaint):
        planned(tmp_path, f", normalisation: {stated}")
