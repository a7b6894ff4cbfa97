"""The parts of the SLURM executor: profiles, batch scripts, ledger, queue, and the code that runs inside a job."""
