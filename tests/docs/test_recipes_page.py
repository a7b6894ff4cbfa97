"""docs/recipes.md says what the recipe files say."""

from __future__ import annotations

from bench.sweep.read import shipped_sweeps
from pretrain.recipes import load_recipes
from results.scale import EPOCH_DIVISORS, EVALUATION_DIVISORS, NAMES, PRETRAINING_DIVISORS
from tests.docs.recipes import PAGE, page


def test_the_page_is_up_to_date() -> None:
    """Regenerate with ``python -m tests.docs.recipes``."""
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text


def test_every_recipe_and_sweep_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for package in ("pretrain.recipes", "evaluators.recipes"):
        assert all(f"### `{recipe.id}`, version {recipe.version}" in text for recipe in load_recipes(package))
    for name in shipped_sweeps():
        assert f"`{name}`" in text


def test_the_tiny_mode_s_table_is_its_data() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for words in NAMES.values():
        for full, tiny in words.items():
            assert f"| `{full}` | `{tiny}` |" in text
    for of, divisors in (("pretraining", PRETRAINING_DIVISORS), ("evaluation", EVALUATION_DIVISORS)):
        for setting, divisor in divisors.items():
            assert f"| {setting} of a {of} | ÷ {divisor} |".replace("a e", "an e") in text
    for evaluator, divisor in EPOCH_DIVISORS.items():
        assert f"| epochs of the evaluation `{evaluator}` | ÷ {divisor} |" in text
