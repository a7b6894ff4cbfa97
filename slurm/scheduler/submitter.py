"""submitit's executor, with an answer of ``sbatch`` read by the whole line."""

from __future__ import annotations

import re

from submitit import SlurmExecutor
from submitit.core.utils import FailedSubmissionError


class Submitter(SlurmExecutor):
    """Takes no number of a site's banner ("your last job 7 of 2024 …") for the job's."""

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        text = string if isinstance(string, str) else string.decode(errors="replace")
        found: list[str] = re.findall(r"^Submitted batch job (\d+)\b", text, re.MULTILINE)
        if len(found) != 1:
            # The batch is looked for in the queue, by its name.
            raise FailedSubmissionError(f"sbatch did not say one job's number: {text!r}")
        return found[0]
