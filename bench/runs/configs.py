"""Writes the text of a planned run's ``config.yaml``, and compares existing files with the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.plan.graph import PlannedRun
from bench.runs.states import RunStatus
from bench.sweep.errors import InputError
from results import safe_yaml
from results.errors import InputError as ResultsInputError
from results.identity import identity
from results.runs import RunDirectory, RunState


def config_text(run: PlannedRun) -> str:
    """The text of a run's ``config.yaml``."""
    return yaml.safe_dump(_content(run), sort_keys=False, allow_unicode=True)


def check_configs(statuses: Sequence[RunStatus], directory: Path) -> list[str]:
    """One sentence for each done run whose ``config.yaml`` differs from the plan; its record stays valid.

    Raises
    ------
    InputError
        The ``config.yaml`` of a run that isn't done differs from the plan.
    """
    sentences = []
    for status in statuses:
        if sentence := difference(status.run, RunDirectory(directory / status.run.run_id)):
            if status.own_state is not RunState.DONE:
                raise InputError(sentence)
            sentences.append(f"{sentence}; its record is unharmed and is used")
    return sentences


def difference(run: PlannedRun, run_directory: RunDirectory) -> str | None:
    """How a run's ``config.yaml`` differs from its plan and what to do; None if it doesn't.

    None, too, if the file is missing or can't be read: status then lists the run as damaged.
    """
    try:
        run_directory.read_config()  # verifies the run id, which the plan shares
        return None
    except OSError:
        return None
    except ResultsInputError as error:
        unplanned = str(error)
    try:
        on_disk = safe_yaml.load(run_directory.config.read_text(encoding="utf-8"))
        on_disk = {**on_disk, **identity(on_disk["stage"], on_disk["config"], on_disk["parents"])}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return unplanned
    planned = {**_content(run), **identity(run.stage, run.config, run.parents)}
    first = next(_differences("", planned, on_disk), None)
    return (
        f"{run_directory.config}: differs from what the sweep plans: {first}; {_remedy(run_directory)}"
        if first
        else unplanned
    )


def _content(run: PlannedRun) -> dict[str, Any]:
    return {"run_id": run.run_id, "stage": run.stage, "parents": list(run.parents), "config": run.config}


def _remedy(run_directory: RunDirectory) -> str:
    directory = run_directory.path
    return f"delete the directory {directory} to compute the run as planned, or change the sweep instead of this file"


def _differences(where: str, planned: Any, on_disk: Any) -> Iterator[str]:
    """Yield each differing setting, such as ``config.pretrain.seed is 7, planned is 0``."""
    if isinstance(planned, Mapping) and isinstance(on_disk, Mapping):
        for key in [*planned, *(key for key in on_disk if key not in planned)]:
            ours, theirs = planned.get(key, "missing"), on_disk.get(key, "missing")
            yield from _differences(f"{where}.{key}".removeprefix("."), ours, theirs)
    elif isinstance(planned, list | tuple) and isinstance(on_disk, list | tuple) and len(planned) == len(on_disk):
        for index, (ours, theirs) in enumerate(zip(planned, on_disk, strict=True)):
            yield from _differences(f"{where}[{index}]", ours, theirs)
    elif planned != on_disk or isinstance(planned, bool) != isinstance(on_disk, bool):
        yield f"{where} is {on_disk}, planned is {planned}"
