"""Runs chosen tests against a changed library of scripts, one forked process a trial.

pytest imports and collects everything once. Then this plugin takes over its loop: for each trial it forks, and the
child, with the trial's library in place, goes on as pytest does, over the trial's tests only and up to the first that
fails. So a trial costs a fork, a server of its own and its tests, and whatever it breaks ends with it.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import pytest

from jobkit.store.script import LIBRARY
from tests.mutation.reach import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from jobkit.store.script import Library

PATIENCE = 10.0
"""Seconds that any test may take; a server that is caught in a loop refuses its clients after five."""
SLOWNESS = 10.0
"""How much longer than usual a test may take beyond that."""
GRACE = 5.0
"""Seconds in which a hung child may take down its servers."""
TRIES = 3

SERVERS = frozenset({"valkey", "own_server", "server"})
OTHERS = frozenset({"redis_server", "own_redis_server", "async", "third"})
"""Of a test with another server, another client or another partition there is one with these, and the same scripts."""


@dataclass(frozen=True, slots=True)
class Trial:
    """These tests, with this library in the place of the store's own; `of` says what it is about."""

    of: Any
    library: Library
    tests: Sequence[str]
    record: bool = False


@dataclass(slots=True)
class Ending:
    """What came of a trial: the test that failed or hung, if one did, and all that was recorded."""

    failed: str = ""
    hung: str = ""
    why: str = ""
    records: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


class Lost(Exception):
    """A child of the driver broke, not a test in it."""


class _InChild(Exception):
    """Raised in a forked child, to leave everything that only the parent does."""


class Forks:
    """The plugin. `drive` is what the parent does in the place of pytest's loop."""

    def __init__(self, drive: Callable[[Forks], None], jobs: int) -> None:
        self.tests: list[str] = []
        self.usual: dict[str, float] = {}
        """How many seconds a test takes."""
        self.trouble = ""
        self._drive = drive
        self._jobs = jobs
        self._items: dict[str, pytest.Item] = {}
        self._running: dict[int, _Child] = {}
        self._voice: IO[str] | None = None

    @property
    def in_child(self) -> bool:
        return self._voice is not None

    def run(self, trials: Iterable[Trial]) -> Iterator[tuple[Trial, Ending]]:
        """Each trial with its ending, as they end; as many at once as there are jobs."""
        gc.freeze()  # what is there now is never looked through again: pytest collects garbage at the end of each trial
        waiting = iter(trials)
        more = True
        with selectors.DefaultSelector() as selector:
            while more or self._running:
                while more and len(self._running) < self._jobs:
                    trial = next(waiting, None)
                    more = trial is not None
                    if trial is not None:
                        self._start(trial, selector)
                yield from self._ended(selector)

    # The parent -------------------------------------------------------------------------------------------------------

    def _start(self, trial: Trial, selector: selectors.BaseSelector, tries: int = 1) -> None:
        hears, says = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.close(hears)
            self._voice = os.fdopen(says, "w", buffering=1)
            raise _InChild(trial)
        os.close(says)
        child = _Child(pid, trial, os.fdopen(hears, "rb", buffering=0), tries, self.usual)
        self._running[pid] = child
        selector.register(child.ear, selectors.EVENT_READ, child)

    def _ended(self, selector: selectors.BaseSelector) -> Iterator[tuple[Trial, Ending]]:
        for key, _ in selector.select(timeout=0.5):
            child = key.data
            if child.listen():
                continue
            selector.unregister(child.ear)
            child.ear.close()
            del self._running[child.pid]
            ending = child.ending()
            if "did not start" in ending.why and child.tries < TRIES:  # a server's port was taken, say
                self._start(child.trial, selector, child.tries + 1)
            else:
                yield child.trial, ending
        for child in self._running.values():
            child.hurry()

    # pytest's hooks ---------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Only tests of the one server, and only those that have one."""
        items[:] = [item for item in items if _wants(item) & SERVERS and not _wants(item) & OTHERS]
        self._items = {item.nodeid: item for item in items}
        self.tests = list(self._items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        try:
            self._drive(self)
        except _InChild as fork:
            trial: Trial = fork.args[0]
            self._become(trial, session)
            return None  # so that pytest's own loop goes on
        except Lost as trouble:
            self.trouble = str(trouble)
        finally:
            if not self.in_child:
                self._end_all()
        return True

    def _end_all(self) -> None:
        """Nothing is left when the driver was interrupted, or broke."""
        for child in self._running.values():
            os.killpg(child.pid, signal.SIGINT)
            os.waitpid(child.pid, 0)

    def _become(self, trial: Trial, session: pytest.Session) -> None:
        for module in [each for each in sys.modules.values() if getattr(each, "LIBRARY", None) is LIBRARY]:
            setattr(module, "LIBRARY", trial.library)  # noqa: B010  whichever module has that name
        session.items[:] = [self._items[test] for test in trial.tests]
        if trial.record:
            session.config.pluginmanager.register(Recorder(self._say))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say({"began": nodeid})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            self._say({"failed": report.nodeid, "why": _reason(report)})
        return report

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._say({"done": int(exitstatus)})

    def _say(self, message: dict[str, Any]) -> None:
        if self._voice is not None:
            self._voice.write(json.dumps(message) + "\n")


class _Child:
    """A forked process as its parent sees it."""

    def __init__(self, pid: int, trial: Trial, ear: Any, tries: int, usual: Mapping[str, float]) -> None:
        self.pid = pid
        self.trial = trial
        self.ear = ear
        self.tries = tries
        self._usual = usual
        self._began = time.monotonic()
        self._deadline = self._began + 6 * PATIENCE
        self._test = ""
        self._heard = b""
        self._done = False
        self._ending = Ending()

    def listen(self) -> bool:
        """Whether it still says something."""
        said = self.ear.read(65536)
        *lines, self._heard = (self._heard + said).split(b"\n")
        for line in lines:
            self._understand(json.loads(line))
        return bool(said)

    def hurry(self) -> None:
        """Interrupt it when its test takes far too long, and end it when that does not help."""
        now = time.monotonic()
        if self._ending.hung and now > self._deadline:
            os.killpg(self.pid, signal.SIGKILL)
        elif not self._ending.hung and now > self._deadline:
            self._ending.hung = self._test or "before its first test"
            self._deadline = now + GRACE
            os.kill(self.pid, signal.SIGINT)

    def ending(self) -> Ending:
        """Of a child that has ended."""
        os.waitpid(self.pid, 0)
        self._ending.seconds = time.monotonic() - self._began
        if not (self._done or self._ending.hung):
            raise Lost(f"the trial of {self.trial.of} broke in {self._test or 'its beginning'}: see the log")
        return self._ending

    def _understand(self, message: dict[str, Any]) -> None:
        if "began" in message:
            self._test = message["began"]
            self._deadline = time.monotonic() + PATIENCE + SLOWNESS * self._usual.get(self._test, PATIENCE)
        elif "failed" in message and not self._ending.failed:
            self._ending.failed, self._ending.why = message["failed"], message["why"]
        elif "done" in message:
            self._done = message["done"] in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        elif "record" in message:
            self._ending.records.append(message["record"])


def _wants(item: pytest.Item) -> set[str]:
    """The names of its fixtures, and of the parameters that name others."""
    parameters = getattr(item, "callspec", None)
    return {*getattr(item, "fixturenames", ()), *(parameters.id.split("-") if parameters else ())}


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).split("\n")[0][:300]
