"""Pretraining methods, one module each, found by name.

A method module offers ``Config`` (a pydantic class of its options) and
``build(config, *, backbone, feature_dimension, num_classes) -> Method``. The ones here are hierarchies of spaces; a
method of another kind only has to answer the ``Method`` protocol.
"""
