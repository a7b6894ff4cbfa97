"""submitit's executor with a stricter parser of the output of ``sbatch``."""

from __future__ import annotations

import re

from submitit import SlurmExecutor
from submitit.core.utils import FailedSubmissionError


class Submitter(SlurmExecutor):
    """Finds the job id in its own line only, not a number in a site's banner ("your last job 7 of 2024 …")."""

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        text = string if isinstance(string, str) else string.decode(errors="replace")
        found: list[str] = re.findall(r"^Submitted batch job (\d+)\b", text, re.MULTILINE)
        if len(found) != 1:
            # submit_batch then looks for the batch in the queue by its name.
            raise FailedSubmissionError(f"sbatch did not say one job's number: {text!r}")
        return found[0]
