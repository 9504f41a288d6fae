"""Release: what is said to the store when a supervisor gives back what a slot held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from jobkit.decision import StopReason, over_limit
from jobkit.incident import Account, IncidentKind, size
from jobkit.store.operations import failure_head
from jobkit.worker.autopsy import account_of

if TYPE_CHECKING:
    from jobkit.worker.autopsy import Death
    from jobkit.worker.link import Guarded


class Words(TypedDict):
    """Arguments of `Operations.release`."""

    crashed: bool
    failed: bool
    failure: bytes
    retry_after: float | None
    incident: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """How it is counted, why the run fails if it does, and what befell it; the default is a plain handing back."""

    crashed: bool = False
    failed: bool = False
    message: str = "It was stopped."
    public: bool = False
    account: Account | None = None
    retry_after: float | None = None
    """Seconds until another attempt may follow a failure; None: it is final."""

    def words(self) -> Words:
        return Words(
            crashed=self.crashed,
            failed=self.failed,
            failure=failure_head(self.message, public=self.public),
            retry_after=self.retry_after,
            incident=self.account.to_json() if self.account else b"",
        )


HANDED_BACK = Release()


def crashed(death: Death) -> Release:
    """A process has ended, and nobody here wanted it to."""
    account = account_of(death)
    return Release(crashed=True, message=account.message, account=account)


def out_of_memory(limit: int, used: int, retry_after: float | None, lines: tuple[str, ...] = ()) -> Release:
    """A process was killed for the memory it used, beyond a limit of ours."""
    message = f"It used more than its {size(limit)} of memory ({size(used)})."
    account = Account(kind=IncidentKind.OUT_OF_MEMORY, message=message, memory=used, lines=lines)
    return Release(failed=True, message=message, public=True, account=account, retry_after=retry_after)


def unstoppable(
    reason: StopReason, grace: float, limits: Guarded | None, lines: tuple[str, ...] = (), stacks: str = ""
) -> Release:
    """A start was told to stop, and did not within its grace: its process is killed."""
    reached = over_limit(reason, limits) if limits is not None else None
    why = str(reached) if reached else _WHY.get(reason, "It was told to stop.")
    account = Account(
        kind=_KINDS.get(reason, IncidentKind.KILLED),
        message=f"{why} It did not stop within {grace:g} s, so its process was killed.",
        lines=lines,
        stacks=stacks,
    )
    failed, retry_after = reached is not None, limits.retry_after if limits else None
    return Release(failed=failed, message=why, public=True, account=account, retry_after=retry_after)


_WHY = {
    StopReason.CANCELLED: "It was cancelled.",
    StopReason.HANDED_BACK: "Its worker shut down.",
    StopReason.UNCONFIRMED: "Its lease was not confirmed in time.",
}
_KINDS = {StopReason.TIME_LIMIT: IncidentKind.TIMED_OUT, StopReason.STALL_LIMIT: IncidentKind.STALLED}
