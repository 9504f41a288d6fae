"""What workers are asked, and what is made of their answers: nothing of this needs a store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jobkit import BadArguments, JobKit, Progress, ProgressJob, Queue, UnknownJob, UnknownWorker
from jobkit.commands import COMMANDS, Answered, Answers, Asking, Ping, Reply, Request, Resize, Stats
from jobkit.control import _limits_of
from jobkit.fleet import SILENT_AFTER, WorkerInfo, known_worker
from jobkit.store.replies import Announced


class Export(ProgressJob[None]):
    customer: str
    max_running = {(): 3, "customer": 1}  # noqa: RUF012

    def perform(self, _progress: Progress) -> None: ...


class Free(ProgressJob[None]):
    def perform(self, _progress: Progress) -> None: ...


KIT = JobKit("redis://127.0.0.1:1", jobs=[Export, Free], queues={"mail": Queue(rate="10/s")})


def announced(*names: str, silence: float = 1.0) -> tuple[Announced, ...]:
    return tuple(Announced(name, silence, WorkerInfo(name=name).to_json()) for name in names)


class Conversation:
    """One request to workers that are known, whose answers the test makes up."""

    def __init__(self, command: Any = None, workers: Any = None) -> None:
        self.over = 0
        self.asking: Asking[Any] = Asking(command or Ping(), workers, self._end)

    def _end(self) -> None:
        self.over += 1

    def ask(self, *known: Announced) -> Request:
        return msgspec.json.decode(self.asking.message(known), type=Request)

    def answer(self, worker: str, value: object = None, error: str | None = None) -> None:
        raw = msgspec.Raw(msgspec.json.encode(value))
        self.asking.hear(msgspec.json.encode(Answered(worker=worker, value=raw, error=error)))


def test_a_request_to_all_is_over_when_every_living_worker_has_answered() -> None:
    talk = Conversation()
    request = talk.ask(*announced("w-1", "w-2"), *announced("lost", silence=SILENT_AFTER + 1))
    assert (request.command, request.workers) == ("ping", None)
    talk.answer("w-1")
    assert not talk.over
    talk.answer("w-2")
    assert talk.over == 1
    answers = talk.asking.answers()
    assert ([reply.worker for reply in answers], answers.silent, len(answers)) == (["w-1", "w-2"], (), 2)


def test_who_is_asked_and_does_not_answer_is_named() -> None:
    talk = Conversation()
    talk.ask(*announced("w-1", "w-2"))
    talk.answer("w-2")
    assert talk.asking.answers().silent == ("w-1",)
    assert not talk.over


def test_with_no_living_worker_nobody_is_waited_for() -> None:
    talk = Conversation()
    talk.ask(*announced("lost", silence=60))
    assert talk.over
    assert talk.asking.answers() == Answers(replies=())


def test_a_lost_worker_that_is_named_is_asked_all_the_same() -> None:
    talk = Conversation(workers="lost")
    assert talk.ask(*announced("lost", silence=60)).workers == ("lost",)
    assert not talk.over


@pytest.mark.parametrize(
    ("named", "meant"),
    [("vm-1-aa", ("vm-1-aa",)), ("vm-2", ("vm-2-cc",)), (["vm-1-b", "vm-2"], ("vm-1-bb", "vm-2-cc"))],
)
def test_the_beginning_of_a_name_will_do(named: object, meant: tuple[str, ...]) -> None:
    assert Conversation(workers=named).ask(*announced("vm-1-aa", "vm-1-bb", "vm-2-cc")).workers == meant


def test_of_several_the_only_one_that_is_alive_is_meant() -> None:
    known = (*announced("vm-1-aa", silence=60), *announced("vm-1-bb"))
    assert Conversation(workers="vm-1").ask(*known).workers == ("vm-1-bb",)


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("vm-1", "Several workers' names begin with 'vm-1'. There are vm-1-aa, vm-1-bb."),
        ("x", "There is no worker 'x'"),
    ],
)
def test_a_name_that_means_nobody_or_several_is_refused_with_those_there_are(named: str, text: str) -> None:
    with pytest.raises(UnknownWorker, match=text):
        Conversation(workers=named).ask(*announced("vm-1-aa", "vm-1-bb", "vm-2-cc"))


@pytest.mark.parametrize("named", ["", [], [7], ("",)])
def test_what_names_nobody_is_refused(named: object) -> None:
    with pytest.raises(BadArguments, match="give the name of a worker"):
        Conversation(workers=named)


def test_an_answer_is_read_as_its_command_says_and_an_error_is_kept() -> None:
    talk = Conversation(Stats())
    talk.ask(*announced("w-1", "w-2"))
    talk.answer("w-1", {"name": "w-1", "busy": 2, "of_a_later_version": True})
    talk.answer("w-2", error="unknown command 'stats'")
    first, second = talk.asking.answers().replies
    assert isinstance(first, Reply)
    assert first.value is not None
    assert (first.value.busy, second.value, second.error) == (2, None, "unknown command 'stats'")


def test_what_is_no_answer_is_passed_over() -> None:
    talk = Conversation(Resize(by=1))
    talk.ask(*announced("w-1"))
    for published in (None, b"", b"[]", b'{"worker":"w-1","value":"many"}'):
        talk.asking.hear(published)
    assert talk.asking.answers().silent == ("w-1",)


def test_every_command_is_written_and_read_as_itself() -> None:
    for name, kind in COMMANDS.items():
        assert kind.name == name
    talk = Conversation(Resize(by=-2))
    request = talk.ask(*announced("w-1"))
    assert msgspec.json.decode(request.arguments, type=COMMANDS[request.command]) == Resize(by=-2)


def test_a_worker_is_as_alive_as_its_last_word_is_young() -> None:
    about = WorkerInfo(name="w", busy=1).to_json()
    there, lost = known_worker("w", about, 3.0, 1000.0), known_worker("w", about, 40.0, 1000.0)
    assert (there.alive, there.last_seen, there.busy) == (True, 997.0, 1)
    assert (lost.alive, lost.last_seen) == (False, 960.0)
    assert known_worker("w", b"of another version", 3.0, 1000.0).name == "w"


# What is refused before anybody is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: KIT.control.grow(0), "by=0: give a whole number"),
        (lambda: KIT.control.shrink(by=True), "by=True"),
        (lambda: KIT.control.log_level("loud"), "level='loud': choose DEBUG, INFO, WARNING or ERROR"),
        (lambda: KIT.control.queues(add="mail"), "queues must be a tuple of one or more names"),
        (lambda: KIT.control.queues(remove="mail"), "queues must be a tuple of one or more names"),
        (lambda: KIT.control.queues(add={"mail": 0}), "its weight, 0, must be a whole number from 1 to 1000"),
        (lambda: KIT.control.queues(add=["two words"]), "its name must be 1 to 100 letters"),
        (lambda: KIT.pause_queue("two words"), "1 to 100 letters"),
    ],
)
def test_what_makes_no_sense_is_refused_with_advice(call: Any, text: str) -> None:
    with pytest.raises(BadArguments, match=text):
        call()


def changes(job: Any = None, queue: str | None = None, **limits: Any) -> set[tuple[object, ...]]:
    named = _limits_of(limits.get("max_running"), limits.get("rate")) if limits else ()
    return {change(0).arguments for change in KIT.control._changes(job, queue, named)}


def test_a_limit_of_all_runs_of_a_job_is_named_as_its_submissions_name_it() -> None:
    ((name, number, of),) = changes(Export, max_running=5)
    assert str(name).startswith("m:")
    assert (number, of) == ("5", f"job:{__name__}.Export")
    assert changes(f"{__name__}.Export") == {(name, "", of)}


def test_a_limit_of_a_queue_is_named_as_its_submissions_name_it() -> None:
    ((name, number, of),) = changes(queue="mail", rate="5/s")
    assert KIT.queue_rules["mail"].words("mail") == f"{name} 100000"
    assert (number, of) == ("200000", "queue:mail")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: changes(Free, max_running=1), "Free declares no max_running of all its runs"),
        (lambda: changes(Export, rate="1/s"), "Export declares no rate of all its runs"),
        (lambda: changes(queue="mail", max_running=1), r"mail declares no max_running .* JobKit\(queues="),
        (lambda: changes(queue="other", rate="1/s"), "other declares no rate"),
        (lambda: changes(Free), "Free declares no max_running or rate"),
        (lambda: changes(Export, queue="mail", rate="1/s"), "one of them"),
        (lambda: changes(max_running=1), "one of them"),
        (lambda: KIT.control.limit(Export), "Give max_running=..., rate=..., or both"),
        (lambda: changes(Export, max_running=0), "a whole number above 0"),
        (lambda: changes(Export, max_running={"customer": 2}), "Only limits of all runs"),
    ],
)
def test_a_limit_that_is_not_declared_or_none_cannot_be_set(call: Any, text: str) -> None:
    with pytest.raises(BadArguments, match=text):
        call()


def test_a_job_that_is_not_known_has_no_limits() -> None:
    with pytest.raises(UnknownJob, match=r"There is no job 'Nothing'. The kit has .*Export"):
        changes("Nothing", max_running=1)
