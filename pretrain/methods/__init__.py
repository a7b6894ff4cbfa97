"""Pretraining methods, one module each, found by name.

A method module has ``Config``, a pydantic class of its options, and ``build(config, *, backbone, feature_dimension,
num_classes, run)``, which returns a ``pretrain.method.Method``. The methods here are hierarchies of spaces; others need
not be.
"""
