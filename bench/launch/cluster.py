"""Finds the cluster profile of a launch and builds its SLURM executor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plan.graph import IMPORT, PRETRAIN
from bench.runs.scheduled import FOLDER
from bench.sweep.errors import InputError
from bench.sweep.model import Sweep
from bench.sweep.source import KeyPath, Source, load_yaml, parse_yaml
from bench.worker.provenance import CODE_VERSION_FILE, code_version
from pretrain.plugins import plugin_names, suggest
from slurm.errors import InputError as SlurmInputError
from slurm.scheduler.profile import ClusterProfile, find_profile, parse_profile

if TYPE_CHECKING:
    from slurm.executors.slurm import SlurmExecutor

PACKAGES = ("bench", "pretrain", "evaluators", "results", "slurm")
LABEL_CHARACTERS = 60


def choose_profile(sweep: Sweep, name: str | None) -> ClusterProfile:
    """The profile that ``--cluster`` names or, without the option, the sweep names or contains.

    Raises
    ------
    InputError
        No cluster is named, or its profile is invalid.
    """
    asked = name or sweep.file.cluster
    if asked is None:
        raise InputError("--executor slurm needs a cluster; add --cluster NAME, or cluster: NAME to the sweep")
    profile = load_profile(asked) if isinstance(asked, str) else _check(asked, sweep.source, ("cluster",))
    known = (PRETRAIN, IMPORT, *plugin_names("evaluators"))
    for stage in profile.stages:
        if stage not in known:
            raise InputError(f"cluster {profile.name}: stages: unknown stage {stage!r}; {suggest(stage, known)}")
    return profile


def load_profile(name: str) -> ClusterProfile:
    """The profile called ``name``, or in the YAML file ``name``; a user's profile takes precedence over a shipped one.

    Raises
    ------
    InputError
        No such profile, or an invalid one; the message names the line and what is allowed.
    """
    found = find_profile(name)
    source = parse_yaml(found, name) if isinstance(found, str) else load_yaml(found)
    return _check(source.data, source, ())


def _check(content: object, source: Source, at: KeyPath) -> ClusterProfile:
    try:
        return parse_profile(content, source.where(at))
    except SlurmInputError as error:
        said = str(error).removeprefix(f"cluster {source.where(at)}: ")
        raise InputError(f"cluster {source.where((*at, *error.key))}: {said}") from error


def slurm_executor(profile: ClusterProfile, runs_directory: Path, sweep_name: str) -> SlurmExecutor:
    """The executor that keeps its files in ``.slurm`` in the runs directory and runs a copy of this code."""
    from slurm.executors.slurm import CodeToRun, SlurmExecutor

    commit, dirty = code_version()
    version = json.dumps({"git_commit": commit, "git_dirty": dirty})
    code = CodeToRun(PACKAGES, {CODE_VERSION_FILE: version})
    # Job names keep only the characters of the sweep's name that are safe in shells, SLURM and terminals.
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", sweep_name)[:LABEL_CHARACTERS].strip("-.") or "sweep"
    return SlurmExecutor(runs_directory.absolute() / FOLDER, profile, label, code)
