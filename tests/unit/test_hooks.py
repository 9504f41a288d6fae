"""Hooks: which are called, in which order, with what, and what becomes of what they raise."""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from jobkit import BadJob, JobKit, Progress, ProgressJob, Start
from jobkit.decision import StopReason
from jobkit.execution import Execution
from jobkit.hooks import Event
from jobkit.job import spec_of
from jobkit.performing import part_of
from jobkit.progress import Cancelled
from jobkit.store.replies import Lease

if TYPE_CHECKING:
    from jobkit.job import JobSpec

told: list[tuple[Any, ...]] = []


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    told.clear()


class Hooked(ProgressJob[int]):
    how: str

    def perform(self, progress: Progress) -> int:
        told.append(("perform",))
        match self.how:
            case "fail":
                raise ValueError("it did not work")
            case "unkept":
                return {1}  # type: ignore[return-value]
            case "return":
                return 7
            case reason:
                raise Cancelled(reason)

    def on_start(self, run: Start) -> None:
        told.append(("job start", run.attempt, run.start))

    async def on_success(self, run: Start, result: int) -> None:
        await asyncio.sleep(0)
        told.append(("job success", result))

    def on_failure(self, run: Start, error: BaseException) -> None:
        told.append(("job failure", type(error).__name__, run.will_retry))

    def on_cancel(self, run: Start) -> None:
        told.append(("job cancel",))


class Raising(ProgressJob[int]):
    WITH: ClassVar[BaseException] = ValueError("hook")

    def perform(self, progress: Progress) -> int:
        return 7

    def on_start(self, run: Start) -> None:
        raise self.WITH

    def on_success(self, run: Start, result: int) -> None:
        raise self.WITH


class Plain(ProgressJob[int]):
    def perform(self, progress: Progress) -> int:
        return 7


class Here:
    """Performs in this thread."""

    def perform(self, lease: Lease, spec: JobSpec, job: ProgressJob[Any], progress: Progress) -> object:
        return job.perform(progress)


def lease_of(job: ProgressJob[Any], arguments: bytes | None = None) -> Lease:
    spec = spec_of(job)
    return Lease(
        run_id="0-01J9", token="42", incarnation="i", job=spec.name, cache_version="1",
        arguments=spec.encode_arguments(job) if arguments is None else arguments, start=2, failures=1, duration=15.0,
        max_attempts=3, watched=False,
    )  # fmt: skip


@pytest.fixture
def kit() -> JobKit:
    kit = JobKit("redis://nowhere.invalid", jobs=[Hooked, Raising, Plain])
    kit.on_start(lambda run: told.append(("kit start", run.name)))
    kit.on_success(lambda _run, result: told.append(("kit success", result)))
    kit.on_failure(lambda _run, error: told.append(("kit failure", type(error).__name__)))
    kit.on_cancel(lambda _run: told.append(("kit cancel",)))
    return kit


def executed(kit: JobKit, lease: Lease) -> str:
    """The outcome; '' where the run is no longer ours."""
    execution = Execution(kit, Here())
    settling = execution.execute(lease)
    return "" if settling is None else str(settling.arguments[3])


def test_hooks_of_the_job_come_before_those_of_its_kit(kit: JobKit) -> None:
    assert executed(kit, lease_of(Hooked(how="return"))) == "succeeded"
    assert told == [
        ("job start", 2, 2), ("kit start", spec_of(Hooked).name), ("perform",), ("job success", 7), ("kit success", 7),
    ]  # fmt: skip


def test_hooks_of_a_kit_are_called_in_the_order_in_which_they_were_given(kit: JobKit) -> None:
    @kit.on_start
    def second(run: Start) -> None:
        told.append(("second", run.token))

    executed(kit, lease_of(Plain()))
    assert [entry[0] for entry in told] == ["kit start", "second", "kit success"]


@pytest.mark.parametrize(
    ("how", "outcome", "ends"),
    [
        ("fail", "failed", [("job failure", "ValueError", True), ("kit failure", "ValueError")]),
        ("unkept", "failed", [("job failure", "BadResult", False), ("kit failure", "BadResult")]),
        (StopReason.CANCELLED, "cancelled", [("job cancel",), ("kit cancel",)]),
        ("its own reason", "cancelled", [("job cancel",), ("kit cancel",)]),
        (StopReason.HANDED_BACK, "released", []),
        (StopReason.LOST, "", []),
    ],
)
def test_each_end_has_its_hooks_and_what_is_no_end_has_none(
    how: str, outcome: str, ends: list[Any], kit: JobKit
) -> None:
    assert executed(kit, lease_of(Hooked(how=how))) == outcome
    assert told[3:] == ends


@pytest.mark.parametrize("raised", [ValueError("hook"), SystemExit(3), Cancelled(), asyncio.CancelledError()])
def test_a_hook_that_raises_changes_nothing_and_is_logged_once(
    raised: BaseException, kit: JobKit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Raising, "WITH", raised)
    with caplog.at_level(logging.ERROR):
        assert executed(kit, lease_of(Raising())) == "succeeded"
    assert told == [("kit start", spec_of(Raising).name), ("kit success", 7)]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage().split(" raised")[0] for record in errors] == [
        "Run 0-01J9: the hook Raising.on_start",
        "Run 0-01J9: the hook Raising.on_success",
    ]
    assert errors[0].exc_info is not None
    assert errors[0].exc_info[1] is raised


@pytest.mark.parametrize(("failures", "again"), [(1, True), (2, False)])
def test_a_failure_says_whether_another_attempt_follows(failures: int, again: bool, kit: JobKit) -> None:
    class Thrice(Hooked):
        job_name = "thrice"
        max_attempts = 3

    kit.register(Thrice)
    executed(kit, msgspec.structs.replace(lease_of(Thrice(how="fail")), failures=failures))
    assert told[3] == ("job failure", "ValueError", again)


def test_a_job_that_could_not_be_made_is_told_to_the_kit_alone(kit: JobKit) -> None:
    class Unmade(ProgressJob[int]):
        job_name = "unmade"
        number: int

        def __post_init__(self) -> None:
            if self.number < 0:
                raise LookupError("not a wrong argument, but a mistake of the author's")

        def perform(self, progress: Progress) -> int:
            return 7

        def on_failure(self, run: Start, error: BaseException) -> None:
            told.append(("never",))

    kit.register(Unmade)
    seen: list[Start] = []
    kit.on_failure(lambda run, _error: seen.append(run))
    assert executed(kit, lease_of(Unmade(number=1), b'{"number":-1}')) == "failed"
    assert told == [("kit failure", "LookupError")]
    assert (seen[0].job, seen[0].name, seen[0].run_id) == (None, "unmade", "0-01J9")


def test_arguments_of_another_version_are_no_failure(kit: JobKit) -> None:
    assert executed(kit, lease_of(Hooked(how="return"), b'{"other":1}')) == "released"
    assert told == []


def test_a_hook_is_a_part_of_the_run(kit: JobKit) -> None:
    """So what it logs says which."""
    seen: list[Any] = []
    kit.on_start(lambda _run: seen.append(part_of()))

    @kit.on_success
    async def later(_run: Start, _result: object) -> None:
        seen.append(part_of())

    contextvars.copy_context().run(executed, kit, lease_of(Plain()))
    assert [within.run_id for within in seen] == ["0-01J9", "0-01J9"]


def test_a_class_inherits_hooks_and_a_mixin_brings_them() -> None:
    class Mixin:
        def on_cancel(self, run: Start) -> None: ...

    class Derived(Mixin, Hooked):
        pass

    assert spec_of(Plain).hooks == frozenset()
    assert spec_of(Hooked).hooks == frozenset(Event)
    assert spec_of(Derived).hooks == frozenset(Event)
    with pytest.raises(BadJob, match=r"on_cancel of Mixin would never be called.*class Late\(Mixin, …\)"):

        class Late(Plain, Mixin):
            pass


def test_a_hook_that_cannot_be_called_is_refused_with_how_to_write_it() -> None:
    with pytest.raises(BadJob, match=r"called with other arguments: `def on_failure\(self, run, error\) -> None`"):

        class Few(ProgressJob[int]):
            def perform(self, progress: Progress) -> int:
                return 7

            def on_failure(self, run: Start) -> None: ...  # type: ignore[override]

    with pytest.raises(BadJob, match="on_start must not yield"):

        class Yielding(Plain):
            def on_start(self, run: Start) -> Any:
                yield

    with pytest.raises(BadJob, match=r"on_start must be a method: `def on_start\(self, run\) -> None`"):

        class Told(Plain):
            on_start = "print"  # type: ignore[assignment]

    with pytest.raises(BadJob, match="'on_start' would hide"):

        class Argument(Plain):
            on_start: str  # type: ignore[assignment]
