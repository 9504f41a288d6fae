"""python -m jobkit.worker MODULE:KIT: a worker without the command line interface."""

from __future__ import annotations

import argparse
import logging
import sys

from jobkit.worker import Worker


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m jobkit.worker", description="Perform the runs of a kit.")
    parser.add_argument("target", metavar="MODULE:KIT")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--queues", default="default", help="comma-separated")
    parser.add_argument("--lease", type=float, default=Worker.lease, help="seconds, for jobs that name none")
    parser.add_argument(
        "--grace", type=float, default=Worker.grace, help="seconds running jobs may go on after SIGTERM"
    )
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args()
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return Worker(
        options.target,
        concurrency=options.concurrency,
        queues=tuple(options.queues.split(",")),
        lease=options.lease,
        grace=options.grace,
        log_level=options.log_level,
    ).run()


if __name__ == "__main__":
    sys.exit(main())
