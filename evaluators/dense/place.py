"""Machine-dependent settings (paths, workers, processes), kept out of the configuration text that is hashed."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Paths and sizes of one machine. The defaults are used in the configuration text that is saved and hashed.

    Parameters
    ----------
    world_size
        Number of processes that share a global batch.
    """

    data_root: str = "data"
    checkpoint: str = "backbone.safetensors"
    work_directory: str = "work"
    num_workers: int = 0
    world_size: int = 1


def config_text(config: Mapping[str, Any]) -> str:
    """Return a configuration as a Python file that OpenMMLab's tools can read; equal on every machine."""
    values = [f"{key} = {pprint.pformat(value, width=110, sort_dicts=False)}\n" for key, value in config.items()]
    return "".join(values)
