"""Cluster profiles: what a mistake is answered with, and how a stage gets its resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.sweep.errors import INPUT_ERRORS
from slurm.job import InputError
from tests.slurm.profiles import load_profile, parse_profile


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
        ({"name": "a", "hours": 86400}, ["hours:", "8784"]),
        ({"name": "a", "hours": True}, ["hours:", "number", "not True"]),
        ({"name": "a", "hours": "90"}, ["hours:", "1:30", "not '90'"]),
        ({"name": "a", "hours": "1:75"}, ["hours:", "1:30", "not '1:75'"]),
        ({"name": "a", "hours": "1:30:00:00"}, ["hours:", "1:30"]),
        ({"name": "a", "nodes": True}, ["nodes:", "integer", "not True"]),
        ({"name": "a", "nodes": 2.0}, ["nodes:", "integer", "not 2.0"]),
        ({"name": "a", "nodes": "2"}, ["nodes:", "integer", "not '2'"]),
        ({"name": "a", "nodes": 100_001}, ["nodes:", "less than or equal to 100000, not 100001"]),
        ({"name": "a", "memory_gb_per_node": 65_537}, ["memory_gb_per_node:", "equal to 65536, not 65537"]),
        ({"name": "a", "gpus_per_node": 1_025}, ["gpus_per_node:", "equal to 1024, not 1025"]),
        ({"name": "a", "cpus_per_gpu": 4_097}, ["cpus_per_gpu:", "equal to 4096, not 4097"]),
        ({"name": "a", "processes_per_node": 4_097}, ["processes_per_node:", "equal to 4096, not 4097"]),
        ({"name": "a", "max_concurrent": 1_000_001}, ["max_concurrent:", "equal to 1000000, not 1000001"]),
        ({"name": "a", "stages": {"knn": {"nodes": 10**6}}}, ["stages.knn.nodes:", "100000"]),
        (
            {"name": "a", "nodes": 100_000, "processes_per_node": 11},
            ["nodes: 100000 with processes_per_node: 11 are 1,100,000 processes; a job has at most 1,000,000"],
        ),
        (
            {"name": "a", "nodes": 1_001, "stages": {"knn": {"gpus_per_node": 1_000}}},
            ["stages.knn: nodes: 1001 with gpus_per_node: 1000 are 1,001,000 processes"],
        ),
        (
            {"name": "a", "gpus_per_node": 1_024, "cpus_per_gpu": 65},
            ["gpus_per_node: 1024 with cpus_per_gpu: 65 are 66,560 processors of a node; a node has at most 65,536"],
        ),
        ({"name": "a", "requeue": "yes"}, ["requeue:", "boolean", "not 'yes'"]),
        ({"name": "a", "memory_gb_per_node": "64"}, ["memory_gb_per_node:", "number", "not '64'"]),
        ({"name": "a", "memory_gb_per_node": float("inf")}, ["memory_gb_per_node:"]),
        ({"name": "a", "memory_gb_per_node": 0.0001}, ["memory_gb_per_node:", "0.01"]),
        ({"name": "a", "sbatch": {"dependency": "singleton"}}, ["sbatch.dependency", "is set by opera-bench itself"]),
        ({"name": "a", "sbatch": {"parsable": True}}, ["sbatch.parsable", "is set by opera-bench itself"]),
        ({"name": "a", "sbatch": {"time": "1:00"}}, ["sbatch.time", "write hours, not sbatch.time"]),
        ({"name": "a", "sbatch": {"no-requeue": True}}, ["sbatch.no-requeue", "requeue"]),
        ({"name": "a", "hours": 0.03}, ["hours: 0.03", "seconds_before_limit: 120"]),
        ({"name": "a", "stages": {"knn": {"hours": 0.01}}}, ["stages.knn: hours: 0.01", "seconds_before_limit"]),
        ({"name": "a", "sbatch": {"--exclusive": True}}, ["sbatch.--exclusive", "write exclusive"]),
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
    with pytest.raises(INPUT_ERRORS, match="unknown cluster 'rtx309'; did you mean 'rtx3090'") as refused:
        load_profile("rtx309")
    assert str(tmp_path / "opera-bench" / "clusters" / "rtx309.yaml") in str(refused.value)
    with pytest.raises(INPUT_ERRORS, match="no such file"):
        load_profile(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    with pytest.raises(INPUT_ERRORS, match="not valid YAML"):
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


@pytest.mark.parametrize(
    ("typed", "minutes"),
    [("1:30", 90), ("0:30", 30), ("24:00:00", 1440), ("1-12:00:00", 2160), ("1-0", 1440), ("1.5", 90), ("2", 120)],
)
def test_times_are_hours_and_minutes_as_people_write_them(typed: str, minutes: int, tmp_path: Path) -> None:
    own = tmp_path / "c.yaml"
    own.write_text(f"name: c\nhours: {typed}\nsbatch: {{time-min: 0:10:00, begin: 16:00, deadline: 2030-01-02}}\n")
    wanted = load_profile(str(own)).resources("knn")
    assert wanted.minutes == minutes
    assert dict(wanted.sbatch) == {"time-min": 10, "begin": "16:00", "deadline": "2030-01-02"}


def test_a_profile_is_refused_with_the_line_of_the_key(tmp_path: Path) -> None:
    own = tmp_path / "c.yaml"
    own.write_text("name: c\nstages:\n  knn:\n    nodes: yes\n")
    with pytest.raises(INPUT_ERRORS, match=r"cluster c\.yaml:4: stages\.knn\.nodes: .*not 'yes'"):
        load_profile(str(own))
