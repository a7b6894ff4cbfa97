"""Finds the sets of weights in a file: raw and averaged, student and teacher. Imports no torch.

A set is a mapping that some format recognises, or one of similar size. Names show which set is an average of another
and which is the default. An average of a part of the network counts as a set by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pretrain.errors import InputError
from pretrain.foreign.interface import Facts
from pretrain.foreign.lookup import find_format, recognise
from pretrain.foreign.parts.names import part
from pretrain.foreign.parts.references import TensorReference
from pretrain.foreign.parts.wrappers import unwrapped
from pretrain.wording import listed, printable_name

RAW, EMA = "raw", "ema"
_DEPTH = 8
"""Levels of nested mappings to search; Lightning's callbacks have an average at the third."""
_AVERAGED = re.compile(
    r"(?<![a-z])ema(?![a-z])|(model|net|dict|weights)_?ema|ema_?(model|net|state|dict|weights)|averag|"
    r"(?<![a-z])(avg|swa|polyak|shadow|teacher)",
    re.IGNORECASE,
)
_TARGET = re.compile(r"momentum|target|encoder_k|key_encoder", re.IGNORECASE)
_NO_WEIGHTS = re.compile(
    r"(.*_)?(optim(izers?)?(_states?)?|(lr_)?schedulers?|(grad_|amp_|loss_)?scaler)(_dict)?", re.IGNORECASE
)


@dataclass(frozen=True)
class WeightSet:
    """One set of weights of a file.

    Parameters
    ----------
    name
        Its position: the keys from the outermost in, joined by dots; empty if the file is the set.
    tensors
        Tensors by name, without the prefix ``stripped``; empty if the file has no names for them.
    size
        Number of tensors.
    strange
        Other entries in the mapping, which no state dict has.
    evaluated
        The word of the set that the format's paper evaluates, if the names don't show it.
    is_target
        Whether its format says that this is the target network of two in one state dict.
    whole_size
        For an average with less than half as many tensors as the file's largest set: the size of the largest set.
    """

    name: str
    tensors: Mapping[str, Any]
    stripped: str = ""
    recognised: bool = True
    size: int = 0
    strange: tuple[str, ...] = ()
    evaluated: str | None = None
    is_target: bool = False
    whole_size: int | None = None

    @property
    def word(self) -> str:
        """``ema`` or ``raw``."""
        return EMA if self.is_target or _AVERAGED.search(self.name) or _TARGET.search(self.name) else RAW

    @property
    def described(self) -> str:
        """Word and position in the file: ``ema: state_dict_ema``."""
        return f"{self.word}: {printable_name(self.name) or 'the whole file'}"

    def __str__(self) -> str:
        remark = "" if self.whole_size is None else f"; too few beside {self.whole_size}, so not read by default"
        return f"{self.described} ({self.size} tensors{remark})"


@dataclass(frozen=True)
class Choice:
    """The set that is read, all sets of the file, and the names of tensors that are in no set, such as prototypes."""

    read: WeightSet
    sets: tuple[WeightSet, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def alternatives(self) -> str:
        """End of an error message: how to read another set of the file, or ''."""
        others = [each for each in self.sets if each is not self.read and each.whole_size is None]
        if not others:
            return ""
        words = [each.word for each in self.sets]
        names = " or ".join(each.word if words.count(each.word) == 1 else printable_name(each.name) for each in others)
        return f"; this is {self.read.described}, another set is read with weights: {names}"


def choose_weights(content: Mapping[Any, Any], facts: Facts, wanted: str | None) -> Choice:
    """Return the set that ``wanted`` names (``ema``, ``raw``, or a set's name); by default the averaged set.

    timm's loader prefers ``state_dict_ema`` and ``model_ema`` to the raw weights, and DINO's evaluation uses the
    teacher. A momentum encoder or target network is the default only if its format says so, as MSN's does: MoCo's and
    BYOL's evaluations use the online network.

    Raises
    ------
    InputError
        There is no such set, several fit, or a set is part of a network that no format recognises.
    """
    candidates = list(_candidates(content, facts, "", _DEPTH, set()))
    sets = _choose_sets(candidates)
    if not sets:
        usual = next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), dict)), content)
        return Choice(as_weight_set(usual))
    complete = [found for found in sets if found.whole_size is None]
    has_average = any(found.word == EMA and not (found.is_target or _TARGET.search(found.name)) for found in complete)
    default = next((found.evaluated for found in complete if found.evaluated), EMA if has_average else RAW)
    word = wanted or (default if any(found.word == default for found in complete) else EMA)
    fitting = [found for found in complete if word in (found.name, found.word)]
    fitting = fitting or [found for found in sets if word in (found.name, found.word)]
    exact = [found for found in fitting if found.name == word]
    if len(fitting) == 1 or len(exact) == 1:
        read = (exact or fitting)[0]
        if read.whole_size is not None and not read.recognised:
            other = complete[0]
            raise InputError(
                f"weights: {read.described} has {read.size} tensors, {other.described} {other.size}: an average of a "
                f"part of the network can't be read as one; say {other.word}"
            )
        return Choice(read, sets, _beside(candidates, sets))
    shown = listed(map(str, sets), 8)
    if not fitting:
        allowed = ", ".join(dict.fromkeys(found.word for found in sets))
        raise InputError(f"weights: no set {printable_name(wanted)!r} in this file; there is {shown}; say {allowed}")
    names = " or ".join(printable_name(found.name) for found in fitting)
    raise InputError(f"weights: several sets are {word}; there is {shown}; say weights: {names}")


def _choose_sets(candidates: Sequence[WeightSet]) -> tuple[WeightSet, ...]:
    """Return every set of weights in the file, in its order; empty if no format recognises anything."""
    largest = max((found.size for found in candidates if found.recognised), default=0)
    sets = []
    for found in candidates:
        if found.word == EMA and 1 < found.size < largest / 2:
            sets.append(replace(found, whole_size=largest))
        elif largest and (found.recognised or found.size >= largest / 2):
            sets.append(found)
    return tuple(sets)


def _beside(candidates: Sequence[WeightSet], sets: Sequence[WeightSet]) -> tuple[str, ...]:
    """Return the full names of the tensors that are in no set; counters of averages are no weights."""
    names = [found.name for found in sets]
    others = [found for found in candidates if found.name not in names]
    return tuple(
        f"{found.name}.{name}".removeprefix(".")
        for found in others
        for name, tensor in found.tensors.items()
        if tensor.shape
    )


def as_weight_set(content: Mapping[Any, Any], name: str = "") -> WeightSet:
    """Return a mapping as a set of weights, whether or not some format recognises it."""
    tensors = {key: value for key, value in content.items() if _is_weight(key, value)}
    strange = tuple(str(key) for key, value in content.items() if not _is_weight(key, value))
    return WeightSet(name, tensors, recognised=False, size=len(tensors), strange=strange)


def _candidates(content: Any, facts: Facts, name: str, depth: int, seen: set[int]) -> Iterator[WeightSet]:
    """Yield possible sets; ``seen`` has the ids of visited mappings: a pickle may repeat one a million times."""
    if id(content) in seen:
        return
    seen.add(id(content))
    if isinstance(content, list | tuple):
        size = sum(isinstance(item, TensorReference) for item in content)
        if size > 1:
            yield WeightSet(name, {}, recognised=False, size=size)
    if not isinstance(content, Mapping):
        return
    plain = as_weight_set(content, name)
    if plain.tensors:
        yield from _recognised(plain, facts) or _side_by_side(plain, facts) or [plain]
    if depth:
        for key, value in content.items():
            if isinstance(key, str) and not _NO_WEIGHTS.fullmatch(key):
                yield from _candidates(value, facts, f"{name}.{key}" if name else key, depth - 1, seen)


def _recognised(plain: WeightSet, facts: Facts) -> list[WeightSet]:
    """Return the set without wrappers' prefixes, as a format recognises it; both encoders of MoCo-v3's file."""
    for state, stripped in unwrapped(plain.tensors):
        if names := recognise(state, facts):
            info = find_format(names[0]).INFO
            found = replace(plain, tensors=state, stripped=plain.stripped + stripped, recognised=True, size=len(state))
            return _encoders(replace(found, evaluated=info.evaluated), info.encoders)
    return []


def _encoders(found: WeightSet, prefixes: tuple[str, str] | None) -> list[WeightSet]:
    """Return a file of an online and a target network as it is, and with the target network in the online one's place.

    Of a file without a target network, return the one set that it is.
    """
    online, target = prefixes or ("", "")
    renamed = {f"{online}{name}": tensor for name, tensor in part(found.tensors, target).items()} if target else {}
    if not renamed or not any(name.startswith(online) for name in found.tensors):
        return [found]
    names = [".".join(filter(None, (found.name, prefix.rstrip(".").rpartition(".")[2]))) for prefix in (online, target)]
    return [
        replace(found, name=names[0]),
        replace(found, name=names[1], tensors=renamed, size=len(renamed), is_target=True),
    ]


def _side_by_side(plain: WeightSet, facts: Facts) -> list[WeightSet]:
    """Return two or more sets in one mapping, such as ``student.*`` and ``teacher.*``, below any common prefix."""
    state, stripped = unwrapped(plain.tensors)[-1]
    groups: dict[str, dict[str, Any]] = {}
    for key, value in state.items():
        first, dot, rest = key.partition(".")
        if dot and rest:
            groups.setdefault(first, {})[rest] = value
    found = []
    for first, group in groups.items():
        name = f"{plain.name}.{first}" if plain.name else first
        inner = replace(plain, name=name, tensors=group, stripped=f"{stripped}{first}.", size=len(group))
        found += _recognised(inner, facts) or ([inner] if inner.word == EMA else [])
    return found if len(found) > 1 and any(each.recognised for each in found) else []


def _is_weight(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, TensorReference)
