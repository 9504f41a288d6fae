"""One of several processes that submit the same job at the same moment; what it got goes to its standard output."""

import json
import sys
import threading

from jobkit import JobKit
from tests.store.storm_job import Report


def main(url: str, namespace: str, submissions: int) -> None:
    kit = JobKit(url, namespace=namespace)
    kit.runs(limit=1)
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    start = threading.Barrier(submissions)
    runs = []

    def submit() -> None:
        start.wait()
        runs.append(kit.submit(Report(month="2026-11")))

    threads = [threading.Thread(target=submit) for _ in range(submissions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([[run.id, run.admission] for run in runs]), flush=True)  # noqa: T201
    sys.stdin.readline()
    print(json.dumps([run.result(timeout=20) for run in runs]), flush=True)  # noqa: T201
    kit.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
