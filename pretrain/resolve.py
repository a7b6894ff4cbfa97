"""Resolves a user's options to a complete pretraining configuration. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pretrain.backbones.interface import BackboneInfo
from pretrain.backbones.lookup import find_backbone
from pretrain.config import PretrainConfig
from pretrain.datasets import dataset_info, reads_info
from pretrain.errors import InputError, shorten
from pretrain.methods.lookup import base_of, find_method, name_on
from pretrain.plugins import suggest
from pretrain.recipes import merge, select_recipe
from pretrain.recipes.fitting import fit_to_images

RECIPES = "pretrain.recipes"
NO_ROOTS: Mapping[str, Path] = {}
_RUN_KEYS = (
    "image_size",
    "global_batch_size",
    "epochs",
    "optimizer",
    "views",
    "repeated_augmentations",
    "mixing",
    "normalisation",
    "precision",
    "batch_norm",
)


def resolve_pretraining(
    *,
    method: str,
    backbone: str,
    dataset: str,
    seed: int,
    options: Mapping[str, Any],
    recipe: str | None = None,
    roots: Mapping[str, Path] = NO_ROOTS,
) -> PretrainConfig:
    """Return the configuration of a recipe, changed by the user's options.

    Parameters
    ----------
    options
        Keys of ``PretrainConfig`` that a user may set, and fields of the method's ``Config``, in one mapping. ``on``
        names the method whose instance space gets OPERA's class space, and whose recipe then applies.
    roots
        Dataset → directory, for datasets whose facts come from their files.

    Raises
    ------
    InputError
        Method, backbone, dataset, recipe or option is unknown, or a value has the wrong type or is out of range.
    """
    find_backbone(backbone)
    info = dataset_info(dataset, roots.get(dataset))
    if "on" in options:
        method, options = name_on(method, options["on"]), {key: value for key, value in options.items() if key != "on"}
    module = find_method(method)
    method_config: type[BaseModel] = module.Config
    chosen = select_recipe(
        RECIPES,
        {"method": base_of(method) or method, "backbone": backbone, "dataset": dataset},
        recipe,
        alternatives={"dataset": info.recipes_of},
    )

    method_keys = tuple(method_config.model_fields)
    allowed = (*_RUN_KEYS, *method_keys)
    for key in options:
        if key not in allowed:
            raise InputError(f"unknown option {key!r} for method {method}; {suggest(key, allowed)}")

    epochs = options.get("epochs")
    base = chosen.settings_for(epochs if isinstance(epochs, int) else None)
    if epochs and base.get("epochs") == 0:
        raise InputError(
            f"option epochs: method {method} trains nothing, so its epochs are 0, not {shorten(str(epochs))}",
            key=("epochs",),
        )
    if reads_info(dataset):
        options = {**fit_to_images(base, info.sizes["train"]), **options}
    # A recipe may serve several methods: take only the options that this method has.
    recipe_options = base.pop("method_options", {})
    base_method_options = {key: value for key, value in recipe_options.items() if key in method_keys}
    run_options = {key: value for key, value in options.items() if key in _RUN_KEYS}
    method_options = {key: value for key, value in options.items() if key in method_keys}

    def resolve(run: Mapping[str, Any], of_method: Mapping[str, Any], changed: tuple[str, ...]) -> PretrainConfig:
        return PretrainConfig.model_validate(
            {
                "normalisation": {"mean": info.mean, "std": info.std},
                **merge(base, run),
                "method": method,
                "method_options": validate(method_config, merge(base_method_options, of_method)).model_dump(
                    mode="json"
                ),
                "backbone": backbone,
                "dataset": dataset,
                "dataset_version": info.version,
                "recipe": chosen.reference(changed),
                "seed": seed,
            }
        )

    try:
        config, recipe_alone = resolve(run_options, method_options, ()), resolve({}, {}, ())
    except ValidationError as error:
        raise to_input_error(error, PretrainConfig) from error
    _require_fits(config, find_backbone(backbone).INFO)
    if hasattr(module, "check"):
        module.check(config)
    changed = [key for key in run_options if getattr(config, key) != getattr(recipe_alone, key)]
    changed += [key for key in method_options if config.method_options.get(key) != recipe_alone.method_options.get(key)]
    return config.model_copy(update={"recipe": chosen.reference(tuple(sorted(changed)))})


def _require_fits(config: PretrainConfig, backbone: BackboneInfo) -> None:
    """Refuse settings that don't fit the backbone.

    Raises
    ------
    InputError
        The message begins with the setting to change.
    """
    patch = backbone.patch_size
    sizes = [("image_size", config.image_size), *(("views", view.size) for view in config.views)]
    for key, size in sizes:
        if patch is not None and size is not None and size % patch:
            raise InputError(f"{key}: {size} must be a multiple of {backbone.name}'s {patch}-pixel patches", key=(key,))
    if backbone.family == "resnet" and config.method_options.get("drop_path_rate"):
        raise InputError(f"drop_path_rate: only ViTs have drop path, {backbone.name} takes 0", key=("drop_path_rate",))
    if config.batch_norm and config.global_batch_size % (images := config.batch_norm.per_micro_batch):
        raise InputError(
            f"batch_norm.per_micro_batch: {images} must divide the global batch of {config.global_batch_size}",
            key=("batch_norm", "per_micro_batch"),
        )


def validate(model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    """Return ``values`` as an instance of ``model``, or raise an InputError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise to_input_error(error, model) from error


def to_input_error(error: ValidationError, model: type[BaseModel], prefix: str = "") -> InputError:
    """Return the first problem of a pydantic error as an InputError, with ``prefix`` before its message."""
    loc, message = error.errors()[0]["loc"], describe_validation_error(error, model)
    # The error of a rule about several settings has no location, but its message begins with one of the settings.
    named = tuple(word for word in re.findall(r"\w+", message.partition(";")[0]) if word in model.model_fields)[:1]
    return InputError(f"{prefix}{message}", key=loc or named)


def describe_validation_error(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem of a pydantic error in one sentence: where, what, what was given or is allowed."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *path, word = first["loc"]
        allowed = tuple(_model_at(model, path).model_fields)
        return f"{'.'.join(map(str, path)) or model.__name__}: unknown key {word!r}; {suggest(str(word), allowed)}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    prefix = f"{where}: " if where else ""  # a rule about several settings has no location
    if isinstance(first["input"], BaseModel | dict | list | tuple):
        return f"{prefix}{message}"
    return f"{prefix}{message}, not {shorten(repr(first['input']))}"


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """Return the model at ``path``, through fields, optional values and lists of models."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner_model(model.model_fields[part].annotation) or model
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _inner_model(argument))), None)
