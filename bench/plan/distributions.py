"""Adds the plugin distributions that compute a run to its configuration, and so to its id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution
from typing import Any

from bench.sweep.errors import InputError
from evaluators.lookup import OFFERS as EVALUATOR_OFFERS
from evaluators.lookup import RECIPES as EVALUATOR_RECIPES
from pretrain.backbones import lookup as backbones
from pretrain.datasets import lookup as datasets
from pretrain.foreign import lookup as formats
from pretrain.methods import lookup as methods
from pretrain.plugin_source import describe_plugin
from pretrain.plugins import distribution_name, plugin_distribution, refused_plugins
from pretrain.recipes import broken_recipes, recipe_distribution
from pretrain.resolve import RECIPES as PRETRAIN_RECIPES
from results.declarations import refused_tables
from results.figures import refused_figures
from results.identity import PLUGINS


def with_plugins(stage: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration with the part ``plugins``; without that part if the run uses no plugin.

    Raises
    ------
    InputError
        Two distributions offer one name, or a distribution has no name or too many files to hash.
    """
    found = {distribution_name(dist): dist for dist in _distributions(stage, config) if dist is not None}
    parts = {part: settings for part, settings in config.items() if part != PLUGINS}
    if found:
        parts[PLUGINS] = {name: describe_plugin(found[name]) for name in sorted(found)}
    return parts


def require_same_plugins(run_id: str, stage: str, config: Mapping[str, Any]) -> None:
    """Check that the installed plugins are those that the run was planned with.

    Raises
    ------
    InputError
        A plugin is missing or has another version or other code, so that the run's id would be wrong.
    """
    planned, here = config.get(PLUGINS, {}), with_plugins(stage, config).get(PLUGINS, {})
    for name in sorted({*planned, *here}):
        if planned.get(name) != here.get(name):
            raise InputError(
                f"{run_id} was planned with {_words(name, planned)}, and here is {_words(name, here)}; "
                "run the sweep again, which plans it anew"
            )


def refusals() -> list[str]:
    """One sentence for each plugin, recipe, table or figure of another distribution that can't be used."""
    sentences = []
    for room in (methods, backbones, datasets, formats):
        sentences += refused_plugins(room.PACKAGE, room.KIND, room.OFFERS)
    sentences += refused_plugins("evaluators", "evaluator", EVALUATOR_OFFERS)
    sentences += [*broken_recipes(PRETRAIN_RECIPES), *broken_recipes(EVALUATOR_RECIPES)]
    return [*sentences, *refused_tables(), *refused_figures()]


def _words(name: str, plugins: Mapping[str, Any]) -> str:
    if name not in plugins:
        return f"no {name}"
    return f"{name} {plugins[name]['version']} (source {plugins[name]['source_sha256'][:10]})"


def _distributions(stage: str, config: Mapping[str, Any]) -> Iterator[Distribution | None]:
    subject = config["pretrain"]
    yield plugin_distribution(methods.PACKAGE, methods.base_of(subject["method"]) or subject["method"])
    yield plugin_distribution(backbones.PACKAGE, subject["backbone"])
    yield plugin_distribution(datasets.PACKAGE, subject["dataset"])
    yield recipe_distribution(PRETRAIN_RECIPES, subject["recipe"]["id"])
    if "import" in config:
        yield plugin_distribution(formats.PACKAGE, config["import"]["format"])
    if "evaluator" in config:
        yield plugin_distribution("evaluators", stage)
        yield plugin_distribution(datasets.PACKAGE, config["evaluator"]["dataset"])
        yield recipe_distribution(EVALUATOR_RECIPES, config["evaluator"]["recipe"]["id"])
