"""Cluster profiles as commands read them."""

from __future__ import annotations

from typing import Any

from bench.sweep.source import Source, load_yaml
from slurm.job import Request
from slurm.scheduler.profile import ClusterProfile


def load_profile(name: str) -> ClusterProfile:
    """The profile that ``--cluster NAME`` names."""
    return ClusterProfile.read(Request(load_yaml, cluster=name))


def parse_profile(content: Any, where: str) -> ClusterProfile:
    """The profile with this content, read from a file called ``where``."""
    return ClusterProfile.parse(Source(where, content, {}))
