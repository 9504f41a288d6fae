"""From what is known of a dead process to what is said: never a guess stated as a fact."""

from __future__ import annotations

import signal

import pytest

from jobkit.incident import IncidentKind
from jobkit.worker.autopsy import FAULTS, Death, account_of, ending

GB = 1024**3
KILLED = -signal.SIGKILL


def test_an_exit_is_told_with_its_code() -> None:
    account = account_of(Death(code=3, peak=GB, lines=("bye",)))
    assert account.kind is IncidentKind.CRASHED
    assert account.message == "The process that performed this ended by itself with exit code 3."
    assert (account.exit_code, account.signal, account.memory, account.lines) == (3, None, GB, ("bye",))


def test_a_fault_is_told_with_where_it_was() -> None:
    account = account_of(Death(code=-signal.SIGSEGV, stacks="Fatal Python error: Segmentation fault"))
    assert account.kind is IncidentKind.CRASHED
    assert account.message == "The process that performed this crashed with signal 11 (SIGSEGV)."
    assert (account.signal, account.exit_code, account.stacks) == (11, None, "Fatal Python error: Segmentation fault")


@pytest.mark.parametrize("code", [0, 1, KILLED, -signal.SIGTERM])
def test_stacks_of_what_was_no_fault_are_of_something_else(code: int) -> None:
    assert account_of(Death(code=code, stacks="Fatal Python error of a fork")).stacks == ""


def test_a_kill_without_evidence_is_only_a_kill() -> None:
    account = account_of(Death(code=KILLED, peak=GB, room=8 * GB))
    assert account.kind is IncidentKind.KILLED
    assert account.message == "The process that performed this was killed by signal 9 (SIGKILL)."


def test_a_kill_while_the_kernel_killed_for_memory_is_likely_one_of_these() -> None:
    account = account_of(Death(code=KILLED, peak=int(3.9 * GB), room=64 * GB, killed_for_memory="cgroup"))
    assert account.kind is IncidentKind.OUT_OF_MEMORY
    assert account.message == (
        "The process that performed this was killed by signal 9 (SIGKILL), likely out of memory at 3.9 GB: "
        "the kernel killed a process of this worker's cgroup for its memory."
    )
    assert "of this machine" in account_of(Death(code=KILLED, killed_for_memory="machine")).message


def test_a_kill_of_a_process_that_had_nearly_all_memory_is_likely_for_that() -> None:
    account = account_of(Death(code=KILLED, peak=int(3.9 * GB), room=4 * GB))
    assert account.kind is IncidentKind.OUT_OF_MEMORY
    assert account.message.endswith("likely out of memory at 3.9 GB: that is nearly all of the 4.0 GB that there is.")


@pytest.mark.parametrize("code", [1, -signal.SIGTERM, -signal.SIGSEGV])
def test_what_ended_otherwise_did_not_run_out_of_memory(code: int) -> None:
    death = Death(code=code, peak=4 * GB, room=4 * GB, killed_for_memory="cgroup")
    assert account_of(death).kind is not IncidentKind.OUT_OF_MEMORY


def test_every_fault_is_told_as_a_crash_and_any_other_signal_as_a_kill() -> None:
    for number in FAULTS:
        assert ending(-number) == f"crashed with signal {number.value} ({number.name})"
    assert ending(-signal.SIGTERM) == "was killed by signal 15 (SIGTERM)"
    assert ending(-63) == "was killed by signal 63 (unknown)"
