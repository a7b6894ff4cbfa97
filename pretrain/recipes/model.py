"""Reading recipe files and choosing the one that applies."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pydantic import Field

from pretrain.config import RecipeReference, Strict
from pretrain.errors import InputError
from pretrain.plugins import plugin_entry_points, suggest
from pretrain.yaml_reader import parse


class EpochSettings(Strict):
    """Settings that hold for runs of at most ``up_to`` epochs."""

    up_to: int = Field(gt=0)
    settings: dict[str, Any]


class Recipe(Strict):
    """One recipe file."""

    id: str
    version: int = Field(ge=1)
    source: str
    applies_to: dict[str, tuple[str, ...]]
    settings: dict[str, Any]
    by_epochs: tuple[EpochSettings, ...] = ()

    def applies(self, facts: Mapping[str, str]) -> bool:
        return all(facts.get(key) in allowed for key, allowed in self.applies_to.items())

    def settings_for(self, epochs: int | None) -> dict[str, Any]:
        """The settings of a run of ``epochs`` epochs (None: the recipe's own number)."""
        count = self.settings.get("epochs") if epochs is None else epochs
        for entry in self.by_epochs:
            if count is not None and count <= entry.up_to:
                return merge(self.settings, entry.settings)
        return dict(self.settings)

    def reference(self, changed: tuple[str, ...]) -> RecipeReference:
        return RecipeReference(id=self.id, version=self.version, source=self.source, changed=changed)


@functools.cache
def load_recipes(package: str) -> tuple[Recipe, ...]:
    """All recipes of ``pretrain.recipes`` or ``evaluators.recipes``, sorted by id.

    Other distributions add theirs under the entry point group of the package's name with ``opera_bench.`` before it;
    such an entry point names a package with YAML files.
    """
    packages = [package, *(point.value for point in plugin_entry_points(f"opera_bench.{package}").values())]
    found = (
        Recipe.model_validate(parse(file.read_text(encoding="utf-8"), file.name).data)
        for source in packages
        for file in files(source).iterdir()
        if file.name.endswith(".yaml")
    )
    return tuple(sorted(found, key=lambda recipe: recipe.id))


def select_recipe(package: str, facts: Mapping[str, str], recipe_id: str | None = None) -> Recipe:
    """The recipe called ``recipe_id``, or the only one that applies to ``facts``.

    Raises
    ------
    InputError
        No recipe of that name, none that applies, or more than one that applies.
    """
    recipes = load_recipes(package)
    if recipe_id is not None:
        for recipe in recipes:
            if recipe.id == recipe_id:
                return recipe
        raise InputError(
            f"unknown recipe {recipe_id!r}; {suggest(recipe_id, [r.id for r in recipes])}", key=("recipe",)
        )
    applying = [recipe for recipe in recipes if recipe.applies(facts)]
    if len(applying) == 1:
        return applying[0]
    described = ", ".join(f"{key} {value}" for key, value in facts.items())
    how = "name one with recipe: in a sweep, with --recipe on the command line"
    if not applying:
        # Those of another evaluator or method would not do; a method of somebody else's may take any.
        kind, word = next(iter(facts.items()))
        usable = [recipe for recipe in recipes if word in recipe.applies_to.get(kind, ())] or recipes
        raise InputError(f"no recipe for {described}; {how} (there are {', '.join(r.id for r in usable)})")
    raise InputError(f"several recipes for {described}: {', '.join(r.id for r in applying)}; {how}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``; mappings merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
