"""Cluster profiles: what a mistake is answered with, and how a stage gets its resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slurm.errors import InputError
from slurm.scheduler.profile import load_profile, parse_profile


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"name": "a", "partion": "gpu"}, ["unknown key 'partion'", "did you mean 'partition'", "allowed: account,"]),
        ({"name": "a", "stages": {"knn": {"hour": 1}}}, ["unknown key 'stages.knn.hour'", "did you mean 'hours'"]),
        ({"name": "a", "stages": {"knn": {"requeue": True}}}, ["unknown key 'stages.knn.requeue'"]),
        ({"name": "a b"}, ["name:", "not 'a b'"]),
        ({"partition": "gpu"}, ["name: field required"]),
        ({"name": "a", "nodes": 0}, ["nodes:", "greater than 0", "not 0"]),
        ({"name": "a", "hours": -1}, ["hours:", "greater than 0"]),
        ({"name": "a", "seconds_before_limit": 5}, ["seconds_before_limit:", "30"]),
        ({"name": "a", "account": "one\n#SBATCH --uid=0"}, ["account:"]),
        ({"name": "a", "hours": float("inf")}, ["hours:"]),
        ({"name": "a", "hours": 86400}, ["hours:", "8784"]),  # what YAML makes of 24:00:00
        ({"name": "a", "memory_gb_per_node": float("inf")}, ["memory_gb_per_node:"]),
        ({"name": "a", "memory_gb_per_node": 0.0001}, ["memory_gb_per_node:", "0.01"]),
        ({"name": "a", "sbatch": {"dependency": "singleton"}}, ["sbatch.dependency", "is set by opera-bench itself"]),
        ({"name": "a", "sbatch": {"parsable": True}}, ["sbatch.parsable", "is set by opera-bench itself"]),
        ({"name": "a", "sbatch": {"time": "1:00"}}, ["sbatch.time", "has a key of its own, hours"]),
        ({"name": "a", "sbatch": {"no-requeue": True}}, ["sbatch.no-requeue", "requeue"]),
        ({"name": "a", "hours": 0.03}, ["hours: 0.03", "seconds_before_limit: 120"]),
        ({"name": "a", "stages": {"knn": {"hours": 0.01}}}, ["stages.knn: hours: 0.01", "seconds_before_limit"]),
        ({"name": "a", "sbatch": {"--exclusive": True}}, ["sbatch.--exclusive", "pattern"]),
        (["a"], ["write a mapping", "allowed:"]),
        (None, ["write a mapping"]),
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused_in_one_sentence(content: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        parse_profile(content, "mine.yaml")
    said = str(refused.value)
    assert said.startswith("cluster mine.yaml: ")
    assert "\n" not in said.replace("\\n", "")
    for word in words:
        assert word in said


def test_an_unknown_cluster_is_answered_with_the_nearest_and_the_place_for_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(InputError, match="unknown cluster 'rtx309'; did you mean 'rtx3090'") as refused:
        load_profile("rtx309")
    assert str(tmp_path / "opera-bench" / "clusters" / "rtx309.yaml") in str(refused.value)
    with pytest.raises(InputError, match="no such file"):
        load_profile(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    with pytest.raises(InputError, match="not valid YAML"):
        load_profile(str(broken))


def test_ones_own_profile_comes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "opera-bench" / "clusters" / "a100.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("{name: a100, partition: ours}")
    assert load_profile("a100").partition == "ours"


def test_a_stage_says_what_differs_and_takes_the_rest_from_its_cluster() -> None:
    profile = parse_profile(
        {
            "name": "site",
            "account": "vision",
            "gpus_per_node": 8,
            "hours": 24,
            "seconds_before_limit": 30,
            "sbatch": {"exclusive": True, "mail-type": "FAIL"},
            "stages": {
                "pretrain": {"nodes": 4},
                "knn": {"gpus_per_node": 0, "processes_per_node": 2, "hours": 0.001, "sbatch": {"exclusive": False}},
            },
        },
        "site",
    )
    wide, small, plain = (profile.resources(stage) for stage in ("pretrain", "knn", "linear"))
    assert (wide.nodes, wide.processes, wide.gpus, wide.minutes) == (4, 32, 32, 24 * 60)
    assert (small.nodes, small.processes, small.gpus) == (1, 2, 0)
    assert small.minutes == 1, "SLURM counts in minutes and takes 0 for no limit"
    assert dict(small.sbatch) == {"exclusive": False, "mail-type": "FAIL"}
    assert (plain.processes, plain.account, dict(plain.sbatch)["exclusive"]) == (8, "vision", True)
