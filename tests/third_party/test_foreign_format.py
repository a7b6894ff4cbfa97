"""Another distribution's checkpoint format: found by name and by content, and part of the id of an import."""

from __future__ import annotations

import json

from tests.third_party.conftest import Site

WRITE_AND_READ = """\
import json
import sys
from pathlib import Path
import torch
from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
from pretrain.backbones.lookup import find_backbone
from pretrain.foreign.parts.conversion import read_checkpoint
fast, slow = (find_backbone("tiny_resnet").build(16).state_dict() for _ in range(2))
parts = {"trunk": fast, "slow_trunk": slow}
state = {f"{name}.{key}": tensor for name, part in parts.items() for key, tensor in part.items()}
torch.save({"state_dict": {**state, "images_seen": torch.tensor(5)}}, "lab.pth")
found = read_checkpoint(Path("lab.pth"))
slowly = read_checkpoint(Path("lab.pth"), weights="ema")
torch.save({"state_dict": {**state, "stray": torch.ones(3)}}, "stray.pth")
try:
    read_checkpoint(Path("stray.pth"))
except Exception as error:
    refusal = str(error)
Path("sweep.yaml").write_text(sys.argv[1])
(run,) = plan_sweep(load_sweep("sweep.yaml")).runs
print(json.dumps({
    "format": found.format, "method": found.header.method, "refusal": refusal,
    "same": [bool(found.backbone["conv1.weight"].equal(fast["conv1.weight"])),
             bool(slowly.backbone["conv1.weight"].equal(slow["conv1.weight"]))],
    "left_out": len(found.left_out), "slow": len(slow), "plugins": list(run.config["plugins"]),
}))
"""
SWEEP = """\
name: lab
pretrain:
  - checkpoint: lab.pth
    format: trunk_file
    as: {method: lab, backbone: tiny_resnet, epochs: 3, batch_size: 64, dataset: digits}
"""


def test_a_strangers_format_is_recognised_converted_and_part_of_the_id(site: Site) -> None:
    done = site.python(WRITE_AND_READ, SWEEP)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["format"], told["method"], told["plugins"]) == ("trunk_file", "shapes_simsiam", ["shapes-ssl"])
    assert told["same"] == [True, True]
    assert told["left_out"] == told["slow"] + 1
    assert "trunk_file: unexpected stray" in told["refusal"]
