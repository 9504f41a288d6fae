"""OpenTelemetry: the spans of runs, by the conventions for messaging where these fit. Needs the extra `otel`.

    from jobkit.otel import OpenTelemetry

    kit = JobKit(jobs=[...], tracing=OpenTelemetry())

A `submit` is a producer's span, each start of the run a consumer's in the same trace. What travels with the run is the
W3C trace context alone: no baggage, which may hold what is nobody else's business.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from jobkit.lifecycle import Outcome
from jobkit.store.operations import with_trace
from jobkit.store.replies import Full, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.trace import Span, TracerProvider

    from jobkit.store.operations import Conditions, Operation
    from jobkit.store.replies import Admitted, Lease
    from jobkit.tracing import Settling

_HEADERS = TraceContextTextMapPropagator()


class OpenTelemetry:
    """Spans of this provider; None: of the one that the program has set, at whatever time."""

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("jobkit", version("jobkit-progress"), tracer_provider)

    @contextmanager
    def submitting(self, name: str) -> Iterator[_Submitting]:
        told = {"messaging.system": "jobkit", "messaging.operation.type": "send", "messaging.operation.name": "submit"}
        with self._tracer.start_as_current_span(f"submit {name}", kind=SpanKind.PRODUCER, attributes=told) as span:
            yield _Submitting(span)

    @contextmanager
    def performing(self, lease: Lease) -> Iterator[_Performing]:
        submitted = _HEADERS.extract(lease.trace, context=Context())
        span = self._tracer.start_span(
            f"perform {lease.job}", context=submitted, kind=SpanKind.CONSUMER, attributes=_told_of(lease)
        )
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield _Performing(span)


class _Submitting:
    def __init__(self, span: Span) -> None:
        self._span = span

    def carrying(self, conditions: Conditions) -> Conditions:
        headers: dict[str, str] = {}
        _HEADERS.inject(headers, trace.set_span_in_context(self._span))
        return with_trace(conditions, headers) if headers else conditions

    def answered(self, queue: str, answers: Sequence[Admitted | Full]) -> None:
        self._span.set_attribute("messaging.destination.name", queue)
        if len(answers) != 1:
            self._span.set_attribute("messaging.batch.message_count", len(answers))
        elif not isinstance(answers[0], Full):
            self._span.set_attribute("messaging.message.id", answers[0].id)
            self._span.set_attribute("jobkit.admission", answers[0].admission)


class _Performing:
    def __init__(self, span: Span) -> None:
        self._span = span

    def settled_by(self, settling: Settling, outcome: str, error: BaseException | None) -> Settling:
        self._span.set_attribute("jobkit.outcome", outcome)
        if error is not None:
            self._span.record_exception(error)
        if outcome == Outcome.FAILED:
            self._span.set_status(StatusCode.ERROR)
        if settling is None:
            self._span.end()
            return None
        return self._ended_by(settling)

    def _ended_by(self, settling: Operation[Verdict]) -> Operation[Verdict]:
        def read(reply: Any) -> Verdict:
            verdict = settling.read(reply)
            if verdict is not Verdict.UNKNOWN:  # else it is asked once more, when the run has been asserted
                self._span.set_attribute("jobkit.verdict", verdict)
                self._span.end()
            return verdict

        return msgspec.structs.replace(settling, read=read)


def _told_of(lease: Lease) -> dict[str, str | int | float]:
    return {
        "messaging.system": "jobkit",
        "messaging.operation.type": "process",
        "messaging.operation.name": "perform",
        "messaging.destination.name": lease.queue,
        "messaging.message.id": lease.run_id,
        "jobkit.job": lease.job,
        "jobkit.attempt": lease.failures + 1,
        "jobkit.start": lease.start,
        "jobkit.waited": lease.waited,
    }
