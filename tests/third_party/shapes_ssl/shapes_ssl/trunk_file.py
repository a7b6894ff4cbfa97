"""My lab's checkpoints: a ResNet below ``trunk``, its running average below ``slow_trunk``, and a counter of images."""
from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, FormatInfo, Imported, State

FAST, SLOW = "trunk.", "slow_trunk."
INFO = FormatInfo(name="trunk_file", title="My lab's checkpoint", source="mine", encoders=(FAST, SLOW), integers=("images_seen",))

def recognise(state: State, facts: Facts) -> bool:
    return f"{FAST}conv1.weight" in state

def to_ours(state: State, facts: Facts) -> Imported:
    backbone = {name.removeprefix(FAST): tensor for name, tensor in state.items() if name.startswith(FAST)}
    left_out = tuple(name for name in state if not name.startswith(FAST))
    if unknown := [name for name in left_out if not name.startswith(SLOW) and name != "images_seen"]:
        raise InputError(f"trunk_file: unexpected {unknown[0]}")
    return Imported(backbone, None, left_out=left_out, trained_with="shapes_simsiam")
