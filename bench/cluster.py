"""Runs on a cluster: which one a launch means, and its executor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.plan import IMPORT, PRETRAIN
from bench.provenance import CODE_VERSION_FILE, code_version
from bench.scheduled import FOLDER
from bench.sweep import Sweep
from pretrain.plugins import plugin_names, suggest
from slurm.scheduler.profile import ClusterProfile, load_profile, parse_profile

if TYPE_CHECKING:
    from slurm.slurm import SlurmExecutor

PACKAGES = ("bench", "pretrain", "evaluators", "results", "slurm")
LABEL_CHARACTERS = 60


def choose_profile(sweep: Sweep, name: str | None) -> ClusterProfile:
    """The cluster that ``--cluster`` or the sweep names, or that the sweep describes.

    Raises
    ------
    InputError
        Neither does, or the profile can't be meant.
    """
    asked = name or sweep.file.cluster
    if asked is None:
        raise InputError("--executor slurm needs to know the cluster: --cluster NAME, or cluster: in the sweep")
    profile = load_profile(asked) if isinstance(asked, str) else parse_profile(asked, sweep.where("cluster"))
    known = (PRETRAIN, IMPORT, *plugin_names("evaluators"))
    for stage in profile.stages:
        if stage not in known:
            raise InputError(f"cluster {profile.name}: stages: unknown stage {stage!r}; {suggest(stage, known)}")
    return profile


def slurm_executor(profile: ClusterProfile, runs_directory: Path, sweep_name: str) -> SlurmExecutor:
    """The executor that keeps its books below the runs directory and runs a copy of this code."""
    from slurm.slurm import CodeToRun, SlurmExecutor

    commit, dirty = code_version()
    version = json.dumps({"git_commit": commit, "git_dirty": dirty})
    code = CodeToRun(PACKAGES, {CODE_VERSION_FILE: version})
    # Of a sweep's name, job names and scripts hold what no shell, scheduler or terminal reads in a way of its own.
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", sweep_name)[:LABEL_CHARACTERS].strip("-.") or "sweep"
    return SlurmExecutor(runs_directory.absolute() / FOLDER, profile, label, code)
