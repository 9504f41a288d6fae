"""The error tree: who is to blame, and what an error carries."""

import copy
import pickle

import pytest

from jobkit import errors
from jobkit.errors import (
    BadArguments,
    BadJob,
    BadResult,
    JobKitError,
    PublicError,
    QueueFull,
    RunCancelled,
    RunError,
    RunFailed,
    RunNotFound,
    RunTimeout,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    SubmitError,
    UnknownJob,
    WorkerLost,
)

EVERY_ERROR = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, JobKitError)]


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.__name__)
def test_every_error_is_made_from_one_message(error: type[JobKitError]) -> None:
    assert str(error("the printer is on fire")) == "the printer is on fire"


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.__name__)
def test_every_error_is_described_in_the_tree_of_the_module_docstring(error: type[JobKitError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (SubmitError, (UnknownJob, BadArguments, BadJob, QueueFull, errors.EngineUnavailable)),
        (RunError, (RunNotFound, RunFailed, RunCancelled, RunTimeout, BadResult)),
        (RunFailed, (WorkerLost,)),
        (StoreError, (StoreUnavailable, StoreMisconfigured)),
        (JobKitError, (SubmitError, RunError, StoreError, PublicError)),
    ],
)
def test_the_tree_is_as_drawn(parent: type[JobKitError], children: tuple[type[JobKitError], ...]) -> None:
    assert all(parent in child.__bases__ for child in children)


def test_bad_arguments_are_a_value_error_and_waiting_too_long_a_timeout_error() -> None:
    assert issubclass(BadArguments, ValueError)
    assert issubclass(RunTimeout, TimeoutError)


def test_run_errors_name_their_run() -> None:
    assert RunNotFound("gone", run_id="0-01J").run_id == "0-01J"
    assert RunTimeout("slow", run_id="0-01J").run_id == "0-01J"


@pytest.mark.parametrize(
    "error",
    [
        QueueFull("full", retry_after=2.5),
        RunFailed("failed", run_id="0-01J"),
        WorkerLost("lost", run_id="0-01J"),
        RunTimeout("slow", run_id="0-01J"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_copy_and_pickle_with_all_they_carry(error: JobKitError) -> None:
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)
