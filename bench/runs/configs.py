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


def difference(run: PlannedRun, place: RunDirectory) -> str | None:
    """How a run's ``config.yaml`` differs from its plan and what to do; None if it doesn't.

    None, too, if the file is missing or can't be read: status then lists the run as damaged.
    """
    try:
        place.read_config()  # verifies the run id, which the plan shares
        return None
    except OSError:
        return None
    except ResultsInputError as error:
        unplanned = str(error)
    try:
        found = safe_yaml.load(place.config.read_text(encoding="utf-8"))
        found = {**found, **identity(found["stage"], found["config"], found["parents"])}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return unplanned
    planned = {**_content(run), **identity(run.stage, run.config, run.parents)}
    first = next(_differences("", planned, found), None)
    return f"{place.config}: differs from what the sweep plans: {first}; {_remedy(place)}" if first else unplanned


def _content(run: PlannedRun) -> dict[str, Any]:
    return {"run_id": run.run_id, "stage": run.stage, "parents": list(run.parents), "config": run.config}


def _remedy(place: RunDirectory) -> str:
    return f"delete the directory {place.path} to compute the run as planned, or change the sweep instead of this file"


def _differences(where: str, planned: Any, found: Any) -> Iterator[str]:
    """Yield each differing setting, such as ``config.pretrain.seed is 7, planned is 0``."""
    if isinstance(planned, Mapping) and isinstance(found, Mapping):
        for key in [*planned, *(key for key in found if key not in planned)]:
            ours, theirs = planned.get(key, "missing"), found.get(key, "missing")
            yield from _differences(f"{where}.{key}".removeprefix("."), ours, theirs)
    elif isinstance(planned, list | tuple) and isinstance(found, list | tuple) and len(planned) == len(found):
        for index, (ours, theirs) in enumerate(zip(planned, found, strict=True)):
            yield from _differences(f"{where}[{index}]", ours, theirs)
    elif planned != found or isinstance(planned, bool) != isinstance(found, bool):
        yield f"{where} is {found}, planned is {planned}"
