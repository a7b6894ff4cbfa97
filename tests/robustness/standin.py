"""A stand-in for SLURM's commands, which accept every job and never start one.

The test cluster can't be used here: hundreds of submissions are cut off, and each needs a queue of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

SBATCH = """\
#!/bin/sh
for last; do :; done
name=$(sed -n 's/^#SBATCH --job-name=//p' "$last")
array=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$last")
number=$(($(wc -l < {queue}) + 1))
echo "$number|$name|$array" >> {queue}
echo "Submitted batch job $number"
"""
SQUEUE = """\
#!/bin/sh
while IFS='|' read -r number name array; do
    if [ -z "$array" ]; then echo "$number|PENDING|None|$name"; continue; fi
    for index in $(seq 0 "$array"); do echo "${{number}}_$index|PENDING|None|$name"; done
done < {queue}
"""
SILENT = "#!/bin/sh\nexit 0\n"


class StandIn:
    """The commands in a folder for PATH, and the queue that they keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = folder / "queue"
        folder.mkdir(parents=True)
        for name, text in {"sbatch": SBATCH, "squeue": SQUEUE, "sacct": SILENT, "scancel": SILENT}.items():
            path = folder / name
            path.write_text(text.format(queue=self.queue) if "{queue}" in text else text, encoding="utf-8")
            path.chmod(0o755)
        self.empty()

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def empty(self) -> None:
        self.queue.write_text("", encoding="utf-8")

    def names(self) -> list[str]:
        """The names of the batches that were accepted, in order."""
        return [line.split("|")[1] for line in self.queue.read_text(encoding="utf-8").splitlines()]
