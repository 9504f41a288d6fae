"""The processes behind a page: a worker and a web server over one store, each to be ended and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx

from tests.life.workers import Folder, WorkerProcess
from tests.servers import ROOT, free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Job(Folder):
    """A folder that a job of `tests.browser.jobs` looks into; also the job's argument."""

    def reach(self, percent: int) -> None:
        new = self.path / "reach.new"
        new.write_text(f"{percent}")
        new.replace(self.path / "reach")

    def end(self) -> None:
        self.reach(100)


class WebProcess:
    """uvicorn, always on the same port."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def text(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Return when it answers."""
        command = ["uvicorn", "tests.browser.hosting:app", "--port", f"{self.port}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, "--timeout-graceful-shutdown", "2"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, "the web process answers")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=10)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the web process ended:\n{self.text}"
        try:
            return httpx.get(f"{self.url}/own").text == "own"
        except httpx.TransportError:
            return False


class House:
    """Everything behind the pages, in a folder of its own."""

    def __init__(self, store_url: str, namespace: str, folder: Path) -> None:
        self._folder = folder
        self._environment = os.environ | {
            "JOBKIT_URL": store_url,
            "JOBKIT_NAMESPACE": namespace,
            "JOBKIT_FILES": str(folder / "files"),
        }
        self._ending = ExitStack()
        self._jobs: list[Job] = []
        self.web = WebProcess(self._environment, folder / "web.log")
        self.worker = self.start_worker()

    def open(self) -> House:
        self._ending.callback(self.web.end)
        self.web.start()
        return self

    def start_worker(self) -> WorkerProcess:
        log = self._folder / "worker.log"
        worker = WorkerProcess(self._environment, log, "--concurrency", "3", target="tests.browser.jobs:kit")
        self._ending.callback(worker.stop)
        self.worker = worker
        return worker

    def job(self) -> Job:
        """A folder for a new job."""
        path = self._folder / f"job-{len(self._jobs)}"
        path.mkdir()
        self._jobs.append(Job(path))
        return self._jobs[-1]

    def end_jobs(self) -> None:
        """Free the worker of what a test has left behind."""
        for job in self._jobs:
            job.end()

    def watch(self, job: Job, name: str = "Counts", **fields: str) -> str:
        """The page that submits a job and shows it."""
        return f"{self.web.url}/watch/{name}?{urlencode({'folder': str(job), **fields})}"

    def close(self) -> None:
        self._ending.close()
        sys.stderr.write(f"--- worker\n{self.worker.text[-10_000:]}\n--- web\n{self.web.text[-10_000:]}\n")
