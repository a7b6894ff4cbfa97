"""Recipes are data: one YAML file each, with an id, a version and a source.

    id: mocov3-vit
    version: 1
    source: where the numbers come from
    applies_to: {method: [moco_v3, opera], backbone: [vit_small, vit_base], dataset: [imagenet]}
    settings: {…}          # keys of the configuration they fill
    by_epochs:             # optional; the first entry with epochs <= up_to overrides the settings
      - {up_to: 100, settings: {…}}

If several apply, the one with the most keys under ``applies_to`` is used. A recipe of ``evaluators.recipes`` may name
the method that pretrained the checkpoint, for the protocol that the method's published number comes from.

A changed number needs a new version, which changes the id of every run that follows the recipe.
"""

from pretrain.recipes.model import Recipe, broken_recipes, load_recipes, merge, recipe_distribution, select_recipe

__all__ = ["Recipe", "broken_recipes", "load_recipes", "merge", "recipe_distribution", "select_recipe"]
