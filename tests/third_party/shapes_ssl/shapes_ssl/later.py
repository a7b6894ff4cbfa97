"""Jobs as detached processes that wait until the file ``go`` lies in the executor's folder."""
import contextlib, importlib, json, os, signal, subprocess, sys, time
from pathlib import Path
from slurm.job import JOB_NUMBER, Executor, Handle, JobReport, JobState

class LaterExecutor(Executor):
    title, returns_at_once, preview_format = "Later", True, "later"

    @classmethod
    def diagnose(cls):
        return (("later", True, "takes jobs"),)

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def create(cls, options, folder, label, code):
        return cls(folder)

    @classmethod
    def open(cls, folder):
        return cls(folder)

    def preview(self, jobs):
        return [f"later: {job.id}" for job in jobs]

    def submit(self, jobs):
        self.folder.mkdir(parents=True, exist_ok=True)
        return [Handle(job, number=self.start(job)) for job in jobs]

    def start(self, job):
        order = json.dumps([job.function, dict(job.arguments), str(job.log_path), [*job.parents]])
        with (self.folder / f"{job.id}.out").open("w") as out:
            command = [sys.executable, "-m", __name__, str(self.folder), job.id, order]
            number = str(subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True).pid)
        self.note(job.id, "waiting", number)
        return number

    def wait(self, handles, on_change=None):
        while not all(handle.state.is_final for handle in handles):
            for handle in handles:
                handle.state = self.states()[handle.job.id].state
            time.sleep(0.05)

    def states(self, *, fresh=False):
        rows = {path.stem: json.loads(path.read_text()) for path in self.folder.glob("*.json")}
        return {job: JobReport(JobState(state), f"Later's job {number} is {state}", number, "go", submitted_at=at)
                for job, (state, number, at) in rows.items()}

    def logs(self, job_id):
        return tuple(self.folder.glob(f"{job_id}.out"))

    def cancel(self, ids):
        for job_id in {*ids} & {job_id for job_id, report in self.states().items() if report.is_active}:
            number = self.states()[job_id].number
            self.note(job_id, "cancelled", number)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(number), signal.SIGKILL)

    def note(self, job_id, state, number):
        (self.folder / f"{job_id}.new").write_text(json.dumps([state, number, time.time()]))
        (self.folder / f"{job_id}.new").rename(self.folder / f"{job_id}.json")

def main(folder, job_id, order):
    executor, number = LaterExecutor(Path(folder)), str(os.getpid())
    function, arguments, log_path, parents = json.loads(order)
    print("waits for go", flush=True)
    while not (executor.folder / "go").exists() or job_id not in executor.states():
        time.sleep(0.05)
    while not all(executor.states()[parent].state.is_final for parent in parents):
        time.sleep(0.05)
    executor.note(job_id, "running", number)
    os.environ[JOB_NUMBER] = number
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    module, name = function.split(":")
    with open(log_path, "a", buffering=1) as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            assert all(executor.states()[parent].state is JobState.DONE for parent in parents), "a parent is lost"
            getattr(importlib.import_module(module), name)(**arguments)
            executor.note(job_id, "done", number)
        except BaseException:
            executor.note(job_id, "failed", number)
            raise

if __name__ == "__main__":
    main(*sys.argv[1:])
