"""The flags that the installed ``sbatch`` knows are known to profiles."""

from __future__ import annotations

import re
import string
import subprocess

import pytest

from slurm.scheduler.flags import LONG_FLAGS


def listed_by_sbatch() -> set[str]:
    """The long flags of ``sbatch``, aliases included, which it lists if a prefix of several is asked for."""
    found: set[str] = set()
    for letter in string.ascii_lowercase:
        answer = subprocess.run(["sbatch", "--test-only", f"--{letter}=1"], input="", capture_output=True, text=True)
        found.update(re.findall(r"'--([a-z-]+)'", answer.stderr.partition("possibilities:")[2]))
    return found


@pytest.mark.usefixtures("cluster_answers")
def test_every_flag_of_the_installed_sbatch_is_known() -> None:
    listed = listed_by_sbatch()
    assert len(listed) > 90
    assert listed <= LONG_FLAGS
