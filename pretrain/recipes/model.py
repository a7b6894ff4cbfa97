"""Reads recipe files and selects the one that applies."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from pydantic import Field, ValidationError

from pretrain.config import RecipeReference, Strict
from pretrain.errors import InputError
from pretrain.plugins import distribution_name, first_line, plugin_entry_points, suggest, title_of
from pretrain.yaml_reader import parse

_NO_ALTERNATIVES: Mapping[str, Sequence[str]] = {}


class EpochSettings(Strict):
    """Settings for runs of at most ``up_to`` epochs."""

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
        """Return the settings of a run of ``epochs`` epochs (None: the recipe's own number)."""
        count = self.settings.get("epochs") if epochs is None else epochs
        for entry in self.by_epochs:
            if count is not None and count <= entry.up_to:
                return merge(self.settings, entry.settings)
        return dict(self.settings)

    def reference(self, changed: tuple[str, ...]) -> RecipeReference:
        return RecipeReference(id=self.id, version=self.version, source=self.source, changed=changed)


@dataclass(frozen=True)
class _Found:
    """The recipes of a package and its entry point group.

    ``offered`` maps an id to the distribution that offers the recipe. ``refused`` maps an id with two owners to a
    sentence. ``broken`` has a sentence for each file or entry point that can't be read.
    """

    recipes: tuple[Recipe, ...]
    offered: Mapping[str, Distribution]
    refused: Mapping[str, str]
    broken: tuple[str, ...]


def load_recipes(package: str) -> tuple[Recipe, ...]:
    """Return all readable recipes of ``pretrain.recipes`` or ``evaluators.recipes``, sorted by id.

    Other distributions add recipes under the entry point group ``opera_bench.<package>``; an entry point names a
    package with YAML files.
    """
    return _find_recipes(package).recipes


def broken_recipes(package: str) -> tuple[str, ...]:
    """Return a sentence for each unusable recipe of another distribution, naming distribution and file."""
    found = _find_recipes(package)
    return (*found.broken, *(found.refused[recipe_id] for recipe_id in sorted(found.refused)))


def recipe_distribution(package: str, recipe_id: str) -> Distribution | None:
    """Return the distribution that offers a recipe; None for a shipped recipe or an unknown id."""
    return _find_recipes(package).offered.get(recipe_id)


@functools.cache
def _find_recipes(package: str) -> _Found:
    shipped = [_read_recipe(file) for file in _yaml_files(package)]
    recipes = {recipe.id: recipe for recipe in shipped}
    titles = dict.fromkeys(recipes, "opera-bench itself")
    offered: dict[str, Distribution] = {}
    refused: dict[str, str] = {}
    broken: list[str] = []
    for point in plugin_entry_points(f"opera_bench.{package}"):
        title = title_of(point.dist)
        try:
            if point.dist is not None:
                distribution_name(point.dist)
        except InputError as error:
            broken.append(str(error))
            continue
        for place, recipe, fault in _recipes_of(point.value):
            if recipe is None:
                broken.append(f"a recipe of {title} can't be used: {place}: {fault}")
            elif recipe.id in recipes:
                owner = titles[recipe.id]
                refused[recipe.id] = f"recipe {recipe.id!r} of {title} ({place}) has an id that {owner} uses; change it"
            else:
                recipes[recipe.id], titles[recipe.id] = recipe, f"{title} ({place})"
                if point.dist is not None:
                    offered[recipe.id] = point.dist
    return _Found(tuple(sorted(recipes.values(), key=lambda recipe: recipe.id)), offered, refused, tuple(broken))


def _recipes_of(package: str) -> Iterator[tuple[str, Recipe | None, str]]:
    """Yield, for each file of another distribution's package, its name and either its recipe or the fault."""
    try:
        found = _yaml_files(package)
    except (Exception, SystemExit) as error:  # code of another distribution may raise anything when imported
        yield f"entry point {package}", None, first_line(error)
        return
    for file in found:
        try:
            yield str(file), _read_recipe(file), ""
        except ValidationError as error:
            first = error.errors()[0]
            yield str(file), None, f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
        except (OSError, ValueError, InputError) as error:
            yield str(file), None, first_line(error)


def _yaml_files(package: str) -> list[Traversable]:
    found = (file for file in files(package).iterdir() if file.name.endswith(".yaml"))
    return sorted(found, key=lambda file: file.name)


def _read_recipe(file: Traversable) -> Recipe:
    return Recipe.model_validate(parse(file.read_text(encoding="utf-8"), file.name).data)


def select_recipe(
    package: str,
    facts: Mapping[str, str],
    recipe_id: str | None = None,
    *,
    alternatives: Mapping[str, Sequence[str]] = _NO_ALTERNATIVES,
) -> Recipe:
    """Return the recipe called ``recipe_id``, or else the one that applies to ``facts``.

    A shipped recipe has precedence over those of other distributions, which can be selected by id. Among several, the
    one that names the most facts has precedence: a protocol for one method over the protocol for all methods.

    Parameters
    ----------
    alternatives
        Fact → values to try in its place, in this order, if no recipe applies.

    Raises
    ------
    InputError
        The id is unknown or has two owners, no recipe applies, or several apply.
    """
    recipes, found = load_recipes(package), _find_recipes(package)
    broken = "".join(f"; {sentence}" for sentence in found.broken)
    if recipe_id is not None:
        for recipe in recipes:
            if recipe.id == recipe_id:
                return _require_one_owner(recipe, found)
        known = f"{suggest(recipe_id, [r.id for r in recipes])}{broken}"
        raise InputError(f"unknown recipe {recipe_id!r}; {known}", key=("recipe",))
    tried = itertools.product(
        *([(key, each) for each in (facts[key], *values)] for key, values in alternatives.items())
    )
    every = ([recipe for recipe in recipes if recipe.applies({**facts, **dict(changed)})] for changed in tried)
    applying = next((applying for applying in every if applying), [])
    applying = [recipe for recipe in applying if recipe.id not in found.offered] or applying
    most = max((len(recipe.applies_to) for recipe in applying), default=0)
    applying = [recipe for recipe in applying if len(recipe.applies_to) == most]
    if len(applying) == 1:
        return _require_one_owner(applying[0], found)
    described = ", ".join(f"{key} {value}" for key, value in facts.items())
    how = "name one with recipe: in a sweep, with --recipe on the command line"
    if not applying:
        # Suggest only recipes of this evaluator or method; a method of another distribution may take any.
        kind, word = next(iter(facts.items()))
        usable = [recipe for recipe in recipes if word in recipe.applies_to.get(kind, ())] or recipes
        raise InputError(f"no recipe for {described}; {how} (there are {', '.join(r.id for r in usable)}){broken}")
    raise InputError(f"several recipes for {described}: {', '.join(r.id for r in applying)}; {how}")


def _require_one_owner(recipe: Recipe, found: _Found) -> Recipe:
    if sentence := found.refused.get(recipe.id):
        raise InputError(sentence)
    return recipe


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``over`` laid over ``base``: mappings merge key by key, other values are replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
