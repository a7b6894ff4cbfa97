"""The training state on disk: damage to the last one costs the steps since the one before, not the run."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pretrain.checkpoint import TRAINING_STATE_FILE
from pretrain.engine.state import discard_training_state, load_training_state, save_training_state
from pretrain.errors import InputError


def test_a_full_disk_is_named_and_the_state_before_stays(tmp_path: Path) -> None:
    script = (
        "import resource, sys, torch; from pathlib import Path; "
        "from pretrain.engine.state import save_training_state; import signal; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "save_training_state(Path(sys.argv[1]), {'step': 1}); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16)); "
        "save_training_state(Path(sys.argv[1]), {'step': 2, 'weights': torch.zeros(10**6)})"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OSError" in done.stderr.splitlines()[-1]
    assert load_training_state(tmp_path) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [TRAINING_STATE_FILE]


def test_a_damaged_state_leaves_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "checkpoints"
    assert load_training_state(directory) is None
    for step in (1, 2, 3):
        save_training_state(directory, {"step": step})
    assert load_training_state(directory) == {"step": 3}
    last = directory / TRAINING_STATE_FILE
    last.write_bytes(last.read_bytes()[:100])
    assert load_training_state(directory) == {"step": 2}
    assert f"{last}: unreadable training state" in capsys.readouterr().err
    # A kill between the two renamings leaves the one before alone.
    last.unlink()
    assert load_training_state(directory) == {"step": 2}
    for path in directory.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="delete it to start this run afresh"):
        load_training_state(directory)
    discard_training_state(tmp_path)
    assert list(directory.iterdir()) == []


def test_a_single_wrong_bit_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2):
        save_training_state(tmp_path, {"step": step, "weights": torch.full((1000,), float(step))})
    last = tmp_path / TRAINING_STATE_FILE
    content = bytearray(last.read_bytes())
    content[content.index(struct.pack("<f", 2.0) * 100)] ^= 1
    last.write_bytes(content)
    found = load_training_state(tmp_path)
    assert found is not None
    assert found["step"] == 1
    assert "differs from its checksum" in capsys.readouterr().err
