"""Further flags of ``sbatch`` in a cluster profile: which names may be written, and what their times mean."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

_TIME = re.compile(r"((?P<days>\d{1,3})-)?(?P<hours>\d{1,4})(:(?P<minutes>[0-5]?\d))?(:(?P<seconds>[0-5]?\d))?")

NAME = r"^[a-z][a-z0-9-]*$"
_LETTERS: dict[str, str | None] = json.loads(
    files("slurm").joinpath("schemas", "sbatch-flags.json").read_text(encoding="utf-8")
)
"""The letter of each long flag of ``sbatch``, or None. Aliases are included: what SLURM 22.05 lists where a prefix is
ambiguous, and what the manuals of other versions up to 26.05 add. Plugins of a site may add more."""
LONG_FLAGS = frozenset(_LETTERS)
FLAGS_OF_LETTERS = {letter: flag for flag, letter in _LETTERS.items() if letter}
OWN_FLAGS = (
    *("array", "dependency", "error", "export", "job-name", "kill-on-invalid-dep", "open-mode", "output"),
    *("parsable", "signal", "test-only", "wait", "wrap", "chdir", "workdir", "ntasks", "gpus", "gpus-per-task"),
)
"""Flags of sbatch that a submission needs for itself."""
WITHOUT_JOB_ID = ("help", "quiet", "usage", "version")
"""Flags of sbatch with which it does not print the id of the job."""
KEYS = {
    **{flag: flag for flag in ("partition", "account", "qos", "constraint", "nodes", "requeue")},
    "no-requeue": "requeue",
    "time": "hours",
    "mem": "memory_gb_per_node",
    "gpus-per-node": "gpus_per_node",
    "ntasks-per-node": "processes_per_node",
    "tasks-per-node": "processes_per_node",
    "cpus-per-task": "cpus_per_gpu",
    "cpus-per-gpu": "cpus_per_gpu",
}
"""Flags of sbatch that a key of the profile stands for."""
DATES = ("begin", "deadline")
"""Flags of sbatch that take a date or a time of day."""
FEWEST_MINUTES = {"time-min": 1, "delay-boot": 0}
"""Flags of sbatch that take a number of minutes, and the lowest one."""


def read_hours(value: Any) -> Any:
    """Return the hours of a time as people write it: 1:30 and 1:30:00 are 1.5 hours, 1-12:00:00 is 36 hours."""
    if not isinstance(value, str):
        return value
    found = _TIME.fullmatch(value)
    if found is None or not (found["days"] or found["minutes"]):
        raise ValueError("write hours as a number (1.5), as hours:minutes (1:30) or as days-hours:minutes (1-12:00)")
    days, hours, minutes, seconds = (int(found[part] or 0) for part in ("days", "hours", "minutes", "seconds"))
    return 24 * days + hours + minutes / 60 + seconds / 3600


def check_flag(name: Any) -> Any:
    """Return ``name`` if it is the whole name of a flag that a profile may set, or may be one that only the site knows.

    ``sbatch`` takes every unambiguous prefix of a long flag for the flag itself.

    Raises
    ------
    ValueError
        A flag that opera-bench sets itself, one that a key of the profile stands for, or a name that is not written as
        ``sbatch`` lists it.
    """
    if not isinstance(name, str):
        return name
    spelled = name.strip("-").replace("_", "-")
    if spelled in KEYS:
        raise ValueError(f"write {KEYS[spelled]}, not sbatch.{name}")
    reason = _reason_against(spelled)
    if spelled != name and (spelled in LONG_FLAGS or "_" in name or name.startswith("-")):
        aside = f" (and leave it out: {spelled} {reason})" if reason else ""
        raise ValueError(f"write {spelled or 'the name of a flag'}, not {name}{aside}")
    if reason:
        raise ValueError(f"leave it out: {name} {reason}")
    if name in LONG_FLAGS:
        return name
    possible = sorted(flag for flag in LONG_FLAGS if flag.startswith(name))
    if short := FLAGS_OF_LETTERS.get(name):
        possible = [short, *(flag for flag in possible if flag != short)]
    if possible:
        raise ValueError(f"write the whole name of the flag, not {name}: {', '.join(map(_with_advice, possible))}")
    if len(name) == 1:
        raise ValueError(f"write the whole name of the flag, not {name}; man sbatch lists them")
    if not re.fullmatch(NAME, name):
        raise ValueError("a flag of sbatch has small letters, digits and hyphens")
    return name


def check_setup(line: str) -> str:
    """Return ``line`` if ``sbatch`` takes it for shell: the setup follows the flags in the script.

    Raises
    ------
    ValueError
        A comment that ``sbatch`` reads flags from.
    """
    if found := re.search(r"^#(SBATCH|PBS|BSUB)", line, re.MULTILINE):
        raise ValueError(f"sbatch reads flags from lines that start with {found[0]}; write flags under sbatch:")
    return line


def _reason_against(flag: str) -> str | None:
    if flag in OWN_FLAGS:
        return "is set by opera-bench itself"
    if flag == "clusters":
        return "sends jobs to a cluster that squeue and sacct are not asked about"
    return "keeps sbatch from printing the job id" if flag in WITHOUT_JOB_ID else None


def _with_advice(flag: str) -> str:
    advice = f"write {KEYS[flag]} of the profile" if flag in KEYS else _reason_against(flag)
    return f"{flag} ({advice.removeprefix('is ')})" if advice else flag


def convert_times(flags: Any) -> Any:
    """Return the flags of sbatch with their times in minutes: sbatch itself takes 1:30 for 90 seconds.

    Raises
    ------
    ValueError
        A time that is no whole number of minutes, or a date that is no text.
    """
    return {flag: _converted(flag, value) for flag, value in flags.items()} if isinstance(flags, dict) else flags


def _converted(flag: Any, value: Any) -> Any:
    if value is False:  # a stage leaves out a flag of its cluster
        return value
    if flag in FEWEST_MINUTES:
        return _minutes(flag, value, FEWEST_MINUTES[flag])
    if flag == "switches" and isinstance(value, str) and "@" in value:
        count, _, longest_wait = value.partition("@")
        wait: str | int = int(longest_wait) if re.fullmatch(r"[0-9]{1,9}", longest_wait) else longest_wait
        return f"{count}@{_minutes(flag, wait, 0)}"
    if flag in DATES and not isinstance(value, str):
        raise ValueError(f"{flag}: write a time of day (16:00), a date (2030-01-31) or now+2hours, not {value!r}")
    return value


def _minutes(flag: str, value: Any, fewest: int) -> int:
    try:
        minutes = round(60 * read_hours(value), 6) if isinstance(value, str) else value
    except ValueError:
        minutes = None
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not minutes >= fewest or minutes % 1:
        raise ValueError(f"{flag}: write whole minutes (90), hours:minutes (1:30) or 1-12:00, not {value!r}")
    return int(minutes)
