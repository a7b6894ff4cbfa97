"""Machine-dependent settings (paths, workers, processes), kept out of the text of the configuration that is hashed."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Paths and sizes of one machine. The defaults stand in the text of the configuration that is kept and hashed.

    Parameters
    ----------
    world_size
        Processes that share a global batch.
    """

    data_root: str = "data"
    checkpoint: str = "backbone.safetensors"
    work_directory: str = "work"
    num_workers: int = 0
    world_size: int = 1


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration as a Python file that OpenMMLab's own tools read, the same text on every machine."""
    values = [f"{key} = {pprint.pformat(value, width=110, sort_dicts=False)}\n" for key, value in config.items()]
    return "".join(values)
