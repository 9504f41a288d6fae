"""Tracing: the port through which what happens to a run becomes spans of one trace, from submit to settle.

A submission leaves headers with the run, beside what its class says (`Terms.trace`), so that every start of it, in
whatever process, goes on with the submitter's trace. Without tracing nothing is left, and nothing is read.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.operations import Conditions, Operation
    from jobkit.store.replies import Admitted, Full, Lease, Verdict

    Settling = Operation[Verdict] | None


class Submitting(Protocol):
    """The span of a submission."""

    def carrying(self, conditions: Conditions) -> Conditions:
        """The conditions, with the headers that a worker goes on from."""
        ...

    def answered(self, queue: str, answers: Sequence[Admitted | Full]) -> None:
        """What the store decided."""
        ...


class Performing(Protocol):
    """The span of one start; it ends when that is settled, which may be after its context."""

    def settled_by(self, settling: Settling, outcome: str, error: BaseException | None) -> Settling:
        """The operation, so that its answer ends the span; None where nothing is to be settled, and it ends now."""
        ...


class Tracing(Protocol):
    """Makes the spans. Within the context of one it is the current span of this thread and of the tasks it starts."""

    def submitting(self, name: str) -> AbstractContextManager[Submitting]:
        """Of a submission; `name` is the job's, or what it is called that many are submitted at once."""
        ...

    def performing(self, lease: Lease) -> AbstractContextManager[Performing]:
        """Of a performance; its trace is that of the run's submission, if that left one."""
        ...


class _NoSpan:
    def carrying(self, conditions: Conditions) -> Conditions:
        return conditions

    def answered(self, queue: str, answers: Sequence[Admitted | Full]) -> None:
        """Nobody is told."""

    def settled_by(self, settling: Settling, outcome: str, error: BaseException | None) -> Settling:  # noqa: ARG002
        return settling


class NoTracing:
    """Makes no spans."""

    def submitting(self, name: str) -> AbstractContextManager[Submitting]:  # noqa: ARG002
        return _NOWHERE

    def performing(self, lease: Lease) -> AbstractContextManager[Performing]:  # noqa: ARG002
        return _NOWHERE


_NOWHERE = nullcontext(_NoSpan())
NO_TRACING: Tracing = NoTracing()
