"""Spans from submit to settle, as an exporter in memory gets them; the engine is inline, the store is real."""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from jobkit import JobKit, Progress, ProgressJob, QueueFull, RunFailed
from jobkit.otel import OpenTelemetry
from jobkit.store.replies import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("a.library")


class Traced(ProgressJob[int]):
    job_name = "kit.Traced"
    number: int
    cache_key = ("number",)
    cache_ttl = 60

    def perform(self, progress: Progress) -> int:
        with tracer.start_as_current_span("the author's own"):
            return 10 // self.number


class Few(ProgressJob[int]):
    job_name = "kit.Few"
    max_queued = 1

    def perform(self, progress: Progress) -> int:
        return 1


@pytest.fixture
def make_kit(store_url: str, namespace: str) -> Iterator[Callable[..., JobKit]]:
    exporter.clear()
    kits: list[JobKit] = []

    def make(engine: str = "inline", *, traced: bool = True) -> JobKit:
        tracing = {"tracing": OpenTelemetry(provider)} if traced else {}
        kits.append(JobKit(store_url, jobs=[Traced, Few], namespace=namespace, engine=engine, **tracing))  # type: ignore[arg-type]
        return kits[-1]

    yield make
    for kit in kits:
        kit.close()


def span(name: str) -> ReadableSpan:
    (found,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return found


def parents(child: ReadableSpan) -> int:
    assert child.parent is not None
    return child.parent.span_id


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def test_submit_and_performance_are_one_trace_and_the_authors_spans_lie_within(make_kit: Callable[..., JobKit]) -> None:
    with tracer.start_as_current_span("request"):
        run = make_kit().submit(Traced(number=2))
    submit, perform, own = span("submit kit.Traced"), span("perform kit.Traced"), span("the author's own")
    assert [parents(submit), parents(perform), parents(own)] == [
        id_of(span("request")), id_of(submit), id_of(perform),
    ]  # fmt: skip
    assert (submit.kind, perform.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert attributes(submit) == {
        "messaging.system": "jobkit", "messaging.operation.type": "send", "messaging.operation.name": "submit",
        "messaging.destination.name": "default", "messaging.message.id": run.id, "jobkit.admission": "new",
    }  # fmt: skip
    told = attributes(perform)
    assert 0.0 <= told.pop("jobkit.waited") < 10.0  # type: ignore[operator]
    assert told == {
        "messaging.system": "jobkit", "messaging.operation.type": "process", "messaging.operation.name": "perform",
        "messaging.destination.name": "default", "messaging.message.id": run.id, "jobkit.job": "kit.Traced",
        "jobkit.attempt": 1, "jobkit.start": 1, "jobkit.outcome": "succeeded", "jobkit.verdict": "ok",
    }  # fmt: skip


def test_a_failure_is_recorded_with_what_was_raised(make_kit: Callable[..., JobKit]) -> None:
    run = make_kit().submit(Traced(number=0))
    with pytest.raises(RunFailed):
        run.result(timeout=5)
    perform = span("perform kit.Traced")
    assert perform.status.status_code is StatusCode.ERROR
    assert attributes(perform)["jobkit.outcome"] == "failed"
    assert [(event.attributes or {})["exception.type"] for event in perform.events] == ["ZeroDivisionError"]


def test_whoever_is_answered_from_memory_has_a_span_that_names_the_run(make_kit: Callable[..., JobKit]) -> None:
    kit = make_kit()
    first = kit.submit(Traced(number=2))
    exporter.clear()
    kit.submit(Traced(number=2))
    (submit,) = exporter.get_finished_spans()
    assert attributes(submit)["jobkit.admission"] == "cached"
    assert attributes(submit)["messaging.message.id"] == first.id


def test_many_that_are_submitted_at_once_have_one_span_for_a_parent(make_kit: Callable[..., JobKit]) -> None:
    make_kit().submit_many([Traced(number=number) for number in (2, 3, 4)])
    performed = [span for span in exporter.get_finished_spans() if span.name == "perform kit.Traced"]
    assert [parents(span) for span in performed] == [id_of(span("submit many"))] * 3
    assert attributes(span("submit many"))["messaging.batch.message_count"] == 3


async def submit_on_a_loop(kit: JobKit) -> None:
    await kit.asubmit(Traced(number=2))
    await kit.asubmit_many([Traced(number=3)])
    await kit.aclose()


def test_the_async_twins_have_the_same_spans(make_kit: Callable[..., JobKit]) -> None:
    asyncio.run(submit_on_a_loop(make_kit()))
    performed = [span for span in exporter.get_finished_spans() if span.name == "perform kit.Traced"]
    assert [parents(each) for each in performed] == [id_of(span("submit kit.Traced")), id_of(span("submit many"))]


def test_a_submission_that_is_refused_is_an_error(make_kit: Callable[..., JobKit]) -> None:
    kit = make_kit("native")
    kit.submit(Few())
    exporter.clear()
    with pytest.raises(QueueFull):
        kit.submit(Few())
    assert span("submit kit.Few").status.status_code is StatusCode.ERROR


def test_a_run_that_carries_no_trace_begins_one(make_kit: Callable[..., JobKit]) -> None:
    """Whatever the performing thread is in the middle of."""
    make_kit("native", traced=False).submit(Traced(number=2))
    kit = make_kit()
    with tracer.start_as_current_span("elsewhere"):
        kit.engine.perform_due(["default"])  # type: ignore[union-attr]
    assert span("perform kit.Traced").parent is None


def test_without_tracing_nothing_is_left_with_a_run(make_kit: Callable[..., JobKit]) -> None:
    kit = make_kit("native", traced=False)
    kit.submit(Traced(number=2))
    lease = kit.store().execute(kit.operations.take("w/1", "once", ["default"]))
    assert isinstance(lease, Lease)
    assert lease.trace == {}
    assert b"trace" not in b"".join(lease.kept)
    assert exporter.get_finished_spans() == ()


def test_only_the_trace_context_travels_with_a_run(make_kit: Callable[..., JobKit]) -> None:
    kit = make_kit("native")
    kit.submit(Traced(number=2), priority=5)
    lease = kit.store().execute(kit.operations.take("w/1", "once", ["default"]))
    assert isinstance(lease, Lease)
    assert 0.0 < lease.waited < 10.0, "a head start is no wait"
    context = span("submit kit.Traced").get_span_context()
    assert context is not None
    assert lease.trace.keys() == {"traceparent"}
    assert lease.trace["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
    assert trace.get_current_span() is trace.INVALID_SPAN
