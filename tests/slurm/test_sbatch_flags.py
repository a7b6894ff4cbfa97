"""Flags of ``sbatch`` in a profile: every spelling of a flag that opera-bench sets is refused; times mean minutes."""

from __future__ import annotations

import getopt
import itertools
from typing import Any

import pytest

from slurm.job import InputError
from slurm.scheduler.flags import FLAGS_OF_LETTERS, KEYS, LONG_FLAGS, OWN_FLAGS, WITHOUT_JOB_ID
from tests.slurm.profiles import parse_profile

RESERVED = sorted({*OWN_FLAGS, *KEYS, *WITHOUT_JOB_ID})


def sbatch_of(flags: dict[str, Any]) -> dict[str, Any]:
    return dict(parse_profile({"name": "a", "sbatch": flags}, "mine.yaml").resources("knn").sbatch)


def refusal(flags: dict[str, Any]) -> str:
    with pytest.raises(InputError) as refused:
        sbatch_of(flags)
    return str(refused.value)


@pytest.mark.parametrize("flag", RESERVED)
def test_no_prefix_of_a_flag_that_opera_bench_sets_gets_through(flag: str) -> None:
    for length in range(1, len(flag) + 1):
        name = flag[:length]
        try:
            # getopt completes prefixes as getopt_long, which sbatch parses with, does.
            ((means, _),), _ = getopt.getopt([f"--{name}=1"], "", [f"{known}=" for known in LONG_FLAGS])
        except getopt.GetoptError:
            means = "--"  # ambiguous
        try:
            sbatch_of({name: "1"})
        except InputError:
            continue
        assert means == f"--{name}", f"sbatch takes {name} for {means}"
        assert name not in RESERVED


NOT_PLAIN = {*RESERVED, "clusters", "begin", "deadline", "time-min", "delay-boot"}


@pytest.mark.parametrize("name", sorted(LONG_FLAGS - NOT_PLAIN))
def test_the_whole_name_of_any_other_flag_is_passed_on(name: str) -> None:
    assert sbatch_of({name: "1"}) == {name: "1"}


@pytest.mark.parametrize("name", ["x11-site", "lustre", "use-scratch"])
def test_a_flag_that_only_a_site_knows_is_passed_on(name: str) -> None:
    assert not any(flag.startswith(name) for flag in LONG_FLAGS)
    assert sbatch_of({name: "1"}) == {name: "1"}


@pytest.mark.parametrize("letter", sorted({*FLAGS_OF_LETTERS, "z"}))
def test_one_letter_is_answered_with_the_flag_it_stands_for(letter: str) -> None:
    said = refusal({letter: 30})
    assert f"sbatch.{letter}: write the whole name of the flag, not {letter}" in said
    assert FLAGS_OF_LETTERS.get(letter, "man sbatch") in said


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("arr", "write the whole name of the flag, not arr: array (set by opera-bench itself)"),
        ("no-req", "write the whole name of the flag, not no-req: no-requeue (write requeue of the profile)"),
        ("mem-per", "write the whole name of the flag, not mem-per: mem-per-cpu, mem-per-gpu"),
        ("t", "write the whole name of the flag, not t: time (write hours of the profile), tasks-per-node (write "),
        ("mem", "write memory_gb_per_node, not sbatch.mem"),
        ("tasks-per-node", "write processes_per_node, not sbatch.tasks-per-node"),
        ("cpus-per-gpu", "write cpus_per_gpu, not sbatch.cpus-per-gpu"),
        ("cpus_per_task", "write cpus_per_gpu, not sbatch.cpus_per_task"),
        ("test_only", "write test-only, not test_only (and leave it out: test-only is set by opera-bench itself)"),
        ("mail_type", "write mail-type, not mail_type"),
        ("site_flag", "write site-flag, not site_flag"),
        ("--exclusive", "write exclusive, not --exclusive"),
        ("quiet", "leave it out: quiet keeps sbatch from printing the job id"),
        ("clusters", "leave it out: clusters sends jobs to a cluster that squeue and sacct are not asked about"),
        ("Exclusive", "a flag of sbatch has small letters, digits and hyphens"),
    ],
)
def test_a_name_that_is_refused_is_answered_with_the_one_to_write(name: str, answer: str) -> None:
    assert refusal({name: True}).startswith(f"cluster mine.yaml: sbatch.{name}: {answer}")
    assert "[key]" not in refusal({name: True})


@pytest.mark.parametrize("line", ["#SBATCH --array=0-3", "module load a\n#SBATCH -a 0-3", "#PBS -J 0-3", "#BSUB -J x"])
def test_flags_in_the_setup_are_refused(line: str) -> None:
    with pytest.raises(InputError, match=r"setup\.0: sbatch reads flags from lines that start with #(SBATCH|PBS|BSUB)"):
        parse_profile({"name": "a", "setup": [line]}, "mine.yaml")


@pytest.mark.parametrize(
    ("typed", "minutes"), [("1:30", 90), ("0:10:00", 10), ("1-12:00", 2160), ("0-1", 60), (90, 90), (90.0, 90)]
)
@pytest.mark.parametrize("flag", ["time-min", "delay-boot"])
def test_times_are_minutes_or_hours_and_minutes(flag: str, typed: Any, minutes: int) -> None:
    assert sbatch_of({flag: typed}) == {flag: minutes}


def test_the_wait_for_switches_is_read_like_any_time() -> None:
    assert sbatch_of({"switches": "1@1:30"}) == {"switches": "1@90"}
    assert sbatch_of({"switches": "2@45"}) == {"switches": "2@45"}
    assert sbatch_of({"switches": 1}) == {"switches": 1}
    assert "switches: write whole minutes (90)" in refusal({"switches": "1@soon"})


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        *itertools.product(("time-min", "delay-boot"), (True, -1, 1.5, "90", "soon", "0:00:30", None)),
        ("time-min", 0),
        *itertools.product(("begin", "deadline"), (10, 1230, 20300102, 1.5, True)),
    ],
)
def test_a_time_that_sbatch_would_read_otherwise_is_refused(flag: str, value: Any) -> None:
    said = refusal({flag: value})
    assert f"sbatch: {flag}: write " in said
    assert said.endswith(f", not {value!r}")


@pytest.mark.parametrize("value", ["16:00", "2030-01-02", "now+1hour", "teatime"])
def test_dates_stay_as_they_are_written(value: str) -> None:
    assert sbatch_of({"begin": value, "deadline": value}) == {"begin": value, "deadline": value}


def test_a_stage_leaves_out_a_time_of_its_cluster() -> None:
    flags = {"begin": "16:00", "time-min": 60, "delay-boot": 0}
    off = dict.fromkeys(flags, False)
    profile = parse_profile({"name": "a", "sbatch": flags, "stages": {"knn": {"sbatch": off}}}, "mine.yaml")
    assert dict(profile.resources("linear").sbatch) == flags
    assert dict(profile.resources("knn").sbatch) == off
