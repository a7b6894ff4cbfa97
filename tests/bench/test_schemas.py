"""The shipped JSON schemas are what the command prints, and every shipped file satisfies its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.sweep.source import parse_yaml
from slurm.scheduler.profile import ClusterProfile
from tests.slurm.profiles import parse_profile

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    "sweep": ROOT / "bench" / "sweep" / "schemas" / "sweep.schema.json",
    "cluster": ROOT / "slurm" / "schemas" / "cluster.schema.json",
}
SHIPPED = sorted(
    [("sweep", path) for path in (ROOT / "bench" / "sweep" / "shipped").glob("*.yaml")]
    + [("cluster", path) for path in (ROOT / "slurm" / "clusters").glob("*.yaml")]
)
SAID = "# yaml-language-server: $schema="


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_shipped_schema_is_what_the_command_prints(name: str, tmp_path: Path) -> None:
    """To write them again, without plugins or cluster profiles of one's own::

    XDG_CONFIG_HOME=/nowhere python -m bench.cli schema sweep > bench/sweep/schemas/sweep.schema.json
    XDG_CONFIG_HOME=/nowhere python -m bench.cli schema cluster > slurm/schemas/cluster.schema.json
    """
    # In a process of its own: this folder's fixtures lay fake evaluators over those that ship.
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench.cli", "schema", name]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert SCHEMAS[name].read_text(encoding="utf-8") == done.stdout


@pytest.mark.parametrize(("name", "path"), SHIPPED, ids=lambda value: getattr(value, "stem", value))
def test_a_shipped_file_names_and_satisfies_its_schema(name: str, path: Path) -> None:
    from jsonschema import Draft202012Validator

    text = path.read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith(SAID)
    assert (path.parent / first.removeprefix(SAID)).resolve() == SCHEMAS[name]
    schema = json.loads(SCHEMAS[name].read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    problems = [error.message for error in Draft202012Validator(schema).iter_errors(parse_yaml(text, path.name).data)]
    assert not problems


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sweep", "{name: x, pretrain: [{method: operra, backbone: vit_small}]}"),
        ("sweep", "{name: x, pretrain: [{method: opera, backbone: vit_small}], evaluate: [lineal]}"),
        ("sweep", "{name: x, pretrain: [{method: opera, backbone: vit_small}], tabels: [table1]}"),
        ("cluster", "{name: x, gpus: 8}"),
        ("cluster", "{name: x, hours: 0}"),
        ("cluster", "{name: x, stages: {knn: {hour: 1}}}"),
    ],
)
def test_a_schema_refuses_what_is_misspelt(name: str, text: str) -> None:
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMAS[name].read_text(encoding="utf-8"))
    assert not Draft202012Validator(schema).is_valid(yaml.safe_load(text))


def test_the_guide_shows_every_key_of_a_profile() -> None:
    guide = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
    example = yaml.safe_load(guide.split("```yaml\n")[1].split("```")[0])
    profile = parse_profile(example, "docs/slurm.md")
    # With GPUs there is one process per GPU; the text below the example says what a cluster without has instead.
    assert set(example) == set(ClusterProfile.model_fields) - {"processes_per_node"}
    assert profile.resources("pretrain").gpus == 32
