"""What an author writes: a job class, checked where it is defined, and all that is read off it once.

A `ProgressJob` is a `msgspec.Struct`. Annotated attributes are its arguments, un-annotated ones its options. The
metaclass refuses a wrong class when Python defines it, so a mistake is seen at import and not by a user at night:
everything it says is a `BadJob` with advice.

Making a job validates it by its own round trip: it is encoded, and what decodes from that is the job. So whatever is
accepted can be stored, a worker sees exactly what the submitter sees, and equal arguments are equal: `150` given for
a float is 150.0 before a cache key is made of it. Since `copy`, `msgspec.structs.replace` and the like go around the
metaclass, `JobSpec` takes the same round trip before it encodes arguments or makes a key.

JSON has no NaN and no infinity, and msgspec writes null for them, which an optional field would swallow. They leave
traces (`null`, or "nan" as a key), so only values whose JSON shows such a trace are searched for them.

`JobSpec` is the machine's view of a class: name, options, codecs. Everything else in jobkit asks it, not the class.
"""

import difflib
import enum
import inspect
import math
import re
import reprlib
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar, Final, Generic, Never, NoReturn, TypeVar, dataclass_transform, get_args, get_origin
from typing import get_type_hints as resolved_hints

import msgspec

from jobkit.cache_key import cache_key, parts
from jobkit.errors import BadArguments, BadJob, BadResult
from jobkit.files import MARK, File, FileStorage
from jobkit.progress import Progress

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

MAX_ARGUMENTS_BYTES: Final = 1024**2
MAX_RESULT_BYTES: Final = 8 * 1024**2
MIN_LEASE_SECONDS: Final = 0.2
MAX_LEASE_SECONDS: Final = 3600.0
MAX_PRIORITY: Final = 1000


class EveryField(enum.Enum):
    """The type of `ALL`."""

    ALL = "ALL"

    def __repr__(self) -> str:
        return self.name


ALL: Final = EveryField.ALL
"""`cache_key = ALL`: jobs are identical when every argument is."""


# --- Options -------------------------------------------------------------------------------------------------------


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one job class, checked; every duration in seconds. `docs/jobs.md` says what each does."""

    cache_key: tuple[str, ...] | EveryField | None = None
    cache_version: int | str = 1
    tags: tuple[str, ...] = ()
    cache_ttl: float | None = None
    keep_for: float = 24 * 3600.0
    queue: str = "default"
    priority: int = 0
    max_attempts: int = 1
    max_crashes: int = 3
    undeliverable_after: float = 600.0
    cancel_grace: float = 10.0
    lease: float | None = None
    """None: the worker's own, 15 s unless it is told otherwise."""
    stages: dict[str, float] | None = None
    submittable: bool = False
    public_result: bool = False


def _seconds(value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError("must be a timedelta or a number of seconds above 0")
    return float(seconds)


def _seconds_or_none(value: object) -> float | None:
    return None if value is None else _seconds(value)


def _lease_seconds(value: object) -> float | None:
    if value is not None and not MIN_LEASE_SECONDS <= _seconds(value) <= MAX_LEASE_SECONDS:
        raise ValueError(f"must be between {MIN_LEASE_SECONDS} and {MAX_LEASE_SECONDS:.0f} seconds")
    return _seconds_or_none(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def _whole_number(value: object, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"must be a whole number from {lowest} to {highest}")
    return value


def _one_attempt(value: object) -> int:
    if _whole_number(value, 1, 1000) > 1:
        raise ValueError("must be 1: retries are not available yet")
    return 1


def _word(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\w.:/-]{1,100}", value):
        raise ValueError("must be up to 100 letters, digits or . : / - _")
    return value


def _cache_version(value: object) -> int | str:
    return _word(value) if isinstance(value, str) else _whole_number(value, 0, 2**53)


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple | list | set | frozenset):
        raise ValueError('must be a tuple of words, as ("reports", "eu")')
    return tuple(_word(word) for word in (sorted(value) if isinstance(value, set | frozenset) else value))


def _cache_key(value: object) -> tuple[str, ...] | EveryField | None:
    if isinstance(value, str):
        raise ValueError(f'is text, not a tuple: the comma makes the tuple. Write cache_key = ("{value}",)')
    if value is None or isinstance(value, EveryField):
        return value
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a tuple of argument names, ALL or None")
    if len(set(value)) < len(value):
        raise ValueError("names an argument twice")
    return tuple(value)


def _stages(value: object) -> dict[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value or not all(name and isinstance(name, str) for name in value):
        raise ValueError('must map stage names to weights, as {"read": 3, "write": 1}')
    try:
        return {name: _seconds(weight) for name, weight in value.items()}
    except ValueError:
        raise ValueError("must give every stage a weight above 0") from None


BUILT_OPTIONS: Final[Mapping[str, Callable[[object], object]]] = {
    "cache_key": _cache_key,
    "cache_version": _cache_version,
    "tags": _words,
    "cache_ttl": _seconds_or_none,
    "keep_for": _seconds,
    "queue": _word,
    "priority": partial(_whole_number, lowest=-MAX_PRIORITY, highest=MAX_PRIORITY),
    "max_attempts": _one_attempt,
    "max_crashes": partial(_whole_number, lowest=0, highest=1000),
    "undeliverable_after": _seconds,
    "cancel_grace": _seconds,
    "lease": _lease_seconds,
    "stages": _stages,
    "submittable": _flag,
    "public_result": _flag,
}
OWN_NAME: Final = "job_name"
"""The one option that is not inherited: two classes cannot share a name."""

UNBUILT_OPTIONS: Final[Mapping[str, str]] = {
    "stale_ttl": "an old result while a new one is made",
    "failure_ttl": "remembering failures",
    "refresh": "refreshing before the memo ends",
    "throttle": "limiting how often a job starts",
    "debounce": "waiting for the last of many submissions",
    "l1_ttl": "memos in process memory",
    "max_running": "limiting how many run at once",
    "rate": "limiting how many start per time",
    "fair_share": "fair shares among owners",
    "max_queued": "limiting how many wait",
    "expires": "giving up on runs that waited too long",
    "schedule": "starting jobs by the clock",
    "backoff": "retrying failures",
    "retry_on": "retrying failures",
    "give_up_on": "retrying failures",
    "time_limit": "stopping jobs that take too long",
    "stall_limit": "stopping jobs that make no progress",
    "abandon_after": "stopping jobs nobody waits for",
    "memory_limit": "stopping jobs that take too much memory",
    "strict_lease": "stopping a job at the end of an unconfirmed lease",
    "on_start": "hooks",
    "on_success": "hooks",
    "on_failure": "hooks",
    "on_cancel": "hooks",
}
OPTION_NAMES: Final = frozenset({OWN_NAME, *BUILT_OPTIONS, *UNBUILT_OPTIONS})


# --- Defining a job class ------------------------------------------------------------------------------------------


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class JobMeta(msgspec.StructMeta):
    """Checks a job class when it is defined and each job when it is made."""

    __jobspec__: "JobSpec"

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: object) -> "JobMeta":
        definition = _Definition(name, bases, namespace)
        if definition.parent is None:  # ProgressJob itself
            cls = super().__new__(mcls, name, bases, namespace, kw_only=True, frozen=True, forbid_unknown_fields=True)
            cls.__jobspec__ = JobSpec(cls, name, Options())
            return cls
        definition.refuse_mistakes(keywords)
        try:
            cls = super().__new__(mcls, name, bases, namespace, kw_only=True, frozen=True, forbid_unknown_fields=True)
        except (TypeError, ValueError) as error:
            raise definition.refusal(f"{error}") from error
        cls.__jobspec__ = definition.specified(cls, definition.parent.__jobspec__.options)
        cls.__jobspec__.refuse_mistakes()
        return cls

    def __call__(cls: type[T], *args: object, **arguments: object) -> T:
        spec: JobSpec = cls.__jobspec__  # type: ignore[attr-defined]
        if spec.is_abstract:
            raise spec.nothing_to_perform()
        try:
            job = super().__call__(*args, **arguments)  # type: ignore[misc]
        except (TypeError, ValueError) as error:
            raise spec.refused_call(args, arguments, error) from error
        return spec.validated(job)  # type: ignore[no-any-return]


class _Definition:
    """A class statement under examination."""

    def __init__(self, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        self.name = name
        self.bases = bases
        self.namespace = namespace
        self.job_bases = [base for base in bases if isinstance(base, JobMeta)]
        self.parent = self.job_bases[0] if self.job_bases else None
        self.annotations: Mapping[str, object] = namespace.get("__annotations__", {})
        self.options: dict[str, object] = {}

    def specified(self, cls: JobMeta, inherited: Options) -> "JobSpec":
        job_name = self.namespace.get(OWN_NAME)
        name = _name_of(cls) if job_name is None else self.checked(OWN_NAME, job_name, _word)
        return JobSpec(cls, name, msgspec.structs.replace(inherited, **self.options))

    def refuse_mistakes(self, keywords: Mapping[str, object]) -> None:
        if keywords:
            raise self.refusal(f"class keywords ({', '.join(keywords)}) do nothing here. Remove them.")
        if len(self.job_bases) > 1:
            raise self.refusal("a job has one job class as its base. Put methods they share into a plain class.")
        for base in self.bases:
            self.refuse_unread(base)
        for name in self.annotations:
            self.refuse_bad_annotation(name)
        for name, value in self.namespace.items():
            if name not in self.annotations and not (name.startswith("__") and name.endswith("__")):
                self.accept_attribute(name, value)

    def refuse_unread(self, base: type) -> None:
        """Arguments and options count on job classes only; elsewhere they would do nothing, silently."""
        for ancestor in () if isinstance(base, JobMeta) or base is Generic else base.__mro__[:-1]:
            unread = OPTION_NAMES.intersection(vars(ancestor)) or set(vars(ancestor).get("__annotations__", ()))
            if unread:
                raise self.refusal(
                    f"{ancestor.__qualname__} is no job class, so its {min(unread)!r} is not read."
                    f" Derive {ancestor.__qualname__} from ProgressJob."
                )

    def refuse_bad_annotation(self, name: str) -> None:
        if name in OPTION_NAMES:
            raise self.refusal(
                f"{name!r} is an option, so it takes no annotation: write `{name} = ...`."
                " If it is meant as an argument, give it another name."
            )
        if name == "perform" or isinstance(self.namespace.get(name), _BEHAVIOUR):
            raise self.refusal(f"{name!r} is an argument and a method at once. Rename one of them.")
        if "ClassVar" not in str(self.annotations[name]) and name in self.taken_names():
            raise self.refusal(f"the argument {name!r} would hide what a base class calls so. Rename it.")

    def taken_names(self) -> set[str]:
        taken = {name for base in self.bases for ancestor in base.__mro__ for name in vars(ancestor)}
        return taken.difference(*(base.__struct_fields__ for base in self.job_bases))

    def accept_attribute(self, name: str, value: object) -> None:
        if name in UNBUILT_OPTIONS:
            raise self.refusal(f"{name!r} is not available yet: {UNBUILT_OPTIONS[name]} is not built. Remove it.")
        if name in BUILT_OPTIONS:
            self.options[name] = self.checked(name, value, BUILT_OPTIONS[name])
        elif self.parent and name in self.parent.__struct_fields__:
            raise self.refusal(f"{name!r} is an argument of the base class. Write `{name}: <type> = ...`.")
        elif name not in (OWN_NAME, "perform") and not _is_plain_attribute(name, value):
            raise self.refusal(self.advice_on_unknown(name, value))

    def checked(self, name: str, value: object, check: Callable[[object], T]) -> T:
        try:
            return check(value)
        except ValueError as error:
            raise self.refusal(f"{name} = {_brief(value)} {error}.") from None

    def advice_on_unknown(self, name: str, value: object) -> str:
        close = difflib.get_close_matches(name, OPTION_NAMES, n=1)
        if close:
            return f"there is no option {name!r}. Did you mean {close[0]!r}?"
        return (
            f"there is no option {name!r}. As an argument write `{name}: {type(value).__name__} = {_brief(value)}`,"
            f" as a constant {name.upper()} or _{name}."
        )

    def refusal(self, text: str) -> BadJob:
        return BadJob(f"{self.namespace.get('__module__')}.{self.namespace.get('__qualname__', self.name)}: {text}")


_BEHAVIOUR = (FunctionType, classmethod, staticmethod, property)


def _is_plain_attribute(name: str, value: object) -> bool:
    """A method, a nested class, a private name or a constant in capitals: no option was meant."""
    return isinstance(value, type) or hasattr(type(value), "__get__") or name.startswith("_") or name != name.lower()


def _name_of(cls: type) -> str:
    """`module.qualname`, the same whether the module was imported or started as a program."""
    module = cls.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else Path(file).stem if file else module
    return f"{module}.{cls.__qualname__}"


# --- What is read off a job class ----------------------------------------------------------------------------------


def spec_of(job: "ProgressJob[Any] | type") -> "JobSpec":
    """The one spec of a job's class.

    Raises:
        BadJob: this is no job class, or one without `perform`.
    """
    cls = job if isinstance(job, type) else type(job)
    if not isinstance(cls, JobMeta):
        raise BadJob(f"{cls.__module__}.{cls.__qualname__} is no job. Derive it from ProgressJob.")
    if cls.__jobspec__.is_abstract:
        raise cls.__jobspec__.nothing_to_perform()
    return cls.__jobspec__


@dataclass(frozen=True, eq=False)
class JobSpec:
    """The machine's view of one job class: its name, options and codecs."""

    job_class: Any
    name: str
    options: Options

    @cached_property
    def is_abstract(self) -> bool:
        """Whether the class only serves to derive others from."""
        return inspect.getattr_static(self.job_class, "perform") is ProgressJob.perform

    @property
    def importable(self) -> bool:
        """Whether another process can find the class; if not, it can only be performed inline."""
        return "<locals>" not in self.job_class.__qualname__

    @cached_property
    def is_async(self) -> bool:
        """Whether calling `perform` gives something to await."""
        perform = self.job_class.perform
        return inspect.iscoroutinefunction(perform) or get_origin(_return_hint(perform)) in _AWAITABLES

    @cached_property
    def cache_key_fields(self) -> tuple[str, ...] | None:
        """The arguments that make two jobs identical; None: no two are."""
        declared = self.options.cache_key
        return self.job_class.__struct_fields__ if isinstance(declared, EveryField) else declared

    @cached_property
    def codec(self) -> "_Codec":
        try:
            return _Codec(self)
        except NameError as error:
            raise _UnresolvedName(
                f"{self.name}: the type {error.name!r} in an annotation is not known when the program runs."
                " Import it outside `if TYPE_CHECKING`, or define it at the top of its module."
            ) from error

    def refuse_mistakes(self) -> None:
        """What can only be judged once the class stands.

        An annotation may name what is defined further down; then unsupported types are refused at the first use.
        """
        if not self.is_abstract:
            self._refuse_bad_perform(inspect.getattr_static(self.job_class, "perform"))
            self._refuse_contradictions()
        with suppress(_UnresolvedName):
            self.codec  # noqa: B018  building it is the check

    def _refuse_bad_perform(self, perform: object) -> None:
        if not isinstance(perform, FunctionType):
            raise BadJob(f"{self.name}: perform must be a method: `def perform(self, progress: Progress) -> ...`.")
        if inspect.isgeneratorfunction(perform) or inspect.isasyncgenfunction(perform):
            raise BadJob(f"{self.name}: perform must return its result, not yield. Use `return`.")
        try:
            inspect.signature(perform).bind(None, None)
        except TypeError:
            raise BadJob(
                f"{self.name}: perform takes the progress and nothing else: `def perform(self, progress: Progress)`."
                " Make arguments annotated attributes of the class."
            ) from None

    def _refuse_contradictions(self) -> None:
        for name in set(self.cache_key_fields or ()).difference(self.job_class.__struct_fields__):
            close = difflib.get_close_matches(name, self.job_class.__struct_fields__, n=1)
            advice = f"Did you mean {close[0]!r}?" if close else f"Its arguments are {self._signature}."
            raise BadJob(f"{self.name}: cache_key names {name!r}, which is no argument. {advice}")
        if self.options.cache_ttl is not None and self.cache_key_fields is None:
            raise BadJob(
                f"{self.name}: cache_ttl without cache_key remembers nothing, for no two jobs are identical."
                " Add cache_key = ALL or a tuple of argument names."
            )

    def nothing_to_perform(self) -> BadJob:
        return BadJob(
            f"{self.name} has no perform, so there is nothing to run."
            " Add `def perform(self, progress: Progress) -> ...`, or use a class derived from it."
        )

    # Arguments

    def encode_arguments(self, job: "ProgressJob[Any]") -> bytes:
        """The arguments as JSON.

        Raises:
            BadArguments: they do not fit their types, or are too large.
        """
        data = self._encoded(job)
        self.decode_arguments(data)
        return data

    def decode_arguments(self, data: bytes) -> Any:
        """The job these arguments make.

        Raises:
            BadArguments: they do not fit; the message names the path.
        """
        try:
            return self.codec.arguments.decode(data)
        except (ValueError, RecursionError) as error:
            raise self._bad_arguments(f"{error}.") from error

    def validated(self, job: Any) -> Any:
        """The job after its round trip: every value of exactly its declared type.

        Raises:
            BadArguments: it does not survive; the message names the path.
        """
        return self.decode_arguments(self._encoded(job))

    def cache_key(self, job: "ProgressJob[Any]") -> str | None:
        """The name under which equal submissions meet; None if this job is never shared.

        Raises:
            BadArguments: an argument named by `cache_key` has no canonical form.
        """
        if self.cache_key_fields is None:
            return None
        typed = self.validated(job)
        arguments = {name: getattr(typed, name) for name in self.cache_key_fields}
        try:
            return cache_key(self.name, self.options.cache_version, arguments)
        except BadArguments as error:
            raise BadArguments(f"{self.name}: {error}") from None

    def _encoded(self, job: Any) -> bytes:
        try:
            data = self.codec.encode(job)
        except _UNENCODABLE as error:
            raise self._bad_arguments(_explained(job, error, self.codec.encode)) from error
        if _shows_any(self.codec.arguments_traces, data) and (found := _first_nonfinite(job)):
            raise self._bad_arguments(found)
        if len(data) > MAX_ARGUMENTS_BYTES:
            raise self._bad_arguments(
                f"the arguments take {_mebibytes(len(data))}, the limit is {_mebibytes(MAX_ARGUMENTS_BYTES)}."
                " Put the data into a file or a database and pass its name."
            )
        return data

    def refused_call(self, args: tuple[object, ...], given: Mapping[str, object], error: Exception) -> BadArguments:
        """Why `Job(*args, **given)` could not even be put together."""
        if args:
            return self._bad_arguments("arguments are given by name.")
        known = self.job_class.__struct_fields__
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                return self._bad_arguments(f"$.{name} is unknown." + (f" Did you mean {close[0]!r}?" if close else ""))
        return self._bad_arguments(f"{error}.")

    def _bad_arguments(self, detail: str) -> BadArguments:
        return BadArguments(f"{self.name}: {detail} {self._expected}")

    @property
    def _expected(self) -> str:
        return f"Expected {self.job_class.__name__}{self._signature}."

    @property
    def _signature(self) -> str:
        shown = (str(parameter) for parameter in self.job_class.__signature__.parameters.values())
        return f"({_shortened(', '.join(part.removeprefix('*') for part in shown), 300)})"

    # Results

    def encode_result(self, value: object, *, keep: Callable[[File], File] | None = None) -> bytes:
        """The result as JSON; each new `File` in it is handed to `keep`, once, and its kept copy encoded.

        Raises:
            BadResult: it does not fit the return annotation, or is too large, or holds files nobody keeps.
        """
        files = _FilesOfResult(keep)
        encode = msgspec.json.Encoder(enc_hook=partial(_encode_foreign, encode_file=files.encode)).encode
        try:
            data = encode(value)
        except _UNENCODABLE as error:
            raise self._bad_result(_explained(value, error, encode)) from error
        if _shows_any(self.codec.result_traces, data) and (found := _first_nonfinite(value)):
            raise self._bad_result(found)
        self._refuse_unfit_result(data, files)
        return data

    def _refuse_unfit_result(self, data: bytes, files: "_FilesOfResult") -> None:
        if len(data) > MAX_RESULT_BYTES:
            raise self._bad_result(
                f"it takes {_mebibytes(len(data))}, the limit is {_mebibytes(MAX_RESULT_BYTES)}."
                " Write it to a file and return jobkit.File(path)."
            )
        if data.count(_MARKED) != files.encoded:
            raise self._bad_result(f"{MARK!r} is reserved as a key. Return jobkit.File(path), or rename the key.")
        try:
            self.codec.result.decode(data)
        except (ValueError, RecursionError) as error:
            raise self._bad_result(f"{error}. Correct perform or its return annotation.") from error

    def decode_result(self, data: bytes, *, storage: FileStorage | None = None) -> Any:
        """The result in the type `perform` declares; files in it have a path if their `storage` is given.

        Raises:
            BadResult: it was written by another version of the job.
        """
        try:
            if _MARKED in data:
                return self.codec.decode_result_with_files(data, storage)
            return self.codec.result.decode(data)
        except (ValueError, RecursionError) as error:
            raise BadResult(
                f"{self.name}: the stored result does not fit perform's return annotation: {error}."
                " Raise cache_version when the result's type changes."
            ) from error

    def _bad_result(self, detail: str) -> BadResult:
        return BadResult(f"{self.name}: perform returned what cannot be kept: {detail}")


class _UnresolvedName(BadJob):
    """An annotation names what does not exist (yet)."""


# --- Between Python values and JSON --------------------------------------------------------------------------------

_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)
_AWAITABLES = (Awaitable, Coroutine)
_MARKED = f'"{MARK}":'.encode()
_ALL_TRACES = (b"null", b'nan"', b'inf"', b'NaN"', b'Infinity"')
_WRITING_NUMBERS_AS_TEXT = (
    msgspec.inspect.DictType,
    msgspec.inspect.DecimalType,
    msgspec.inspect.AnyType,
    msgspec.inspect.CustomType,
)


class _Codec:
    """Encoders and decoders of one job class, made once."""

    def __init__(self, spec: JobSpec) -> None:
        self.result_type = Any if spec.is_abstract else _result_type(spec.job_class.perform)
        fields = msgspec.structs.fields(spec.job_class)
        for field in fields:
            _refuse_unsupported(f"{spec.name}: the argument {field.name!r}", field.type, allowed=_is_pydantic_model)
        _refuse_unsupported(f"{spec.name}: the result of perform", self.result_type, allowed=_is_result_type)
        self.arguments_traces = _traces_of_nonfinite(field.type for field in fields)
        self.result_traces = _traces_of_nonfinite([self.result_type])
        self.encode = msgspec.json.Encoder(enc_hook=partial(_encode_foreign, encode_file=_refuse_file)).encode
        self.arguments = msgspec.json.Decoder(spec.job_class, dec_hook=_decode_foreign)
        self.result = msgspec.json.Decoder(self.result_type, dec_hook=_decode_foreign)

    def decode_result_with_files(self, data: bytes, storage: FileStorage | None) -> object:
        decode_foreign = partial(_decode_foreign, storage=storage)
        return _with_files(msgspec.json.decode(data, type=self.result_type, dec_hook=decode_foreign), storage)


class _FilesOfResult:
    """Keeps each file of one result once, however often the result names it."""

    def __init__(self, keep: Callable[[File], File] | None) -> None:
        self._keep = keep
        self._kept: dict[File, File] = {}
        self.encoded = 0

    def encode(self, file: File) -> object:
        self.encoded += 1
        return self.kept(file).described()

    def kept(self, file: File) -> File:
        if file.key is not None:
            return file
        if self._keep is None:
            raise BadResult(f"{file!r} is in the result, but no file storage is set. Set JOBKIT_FILES to a directory.")
        if file not in self._kept:
            self._kept[file] = self._keep(file)
        return self._kept[file]


def _refuse_file(file: File) -> NoReturn:
    raise TypeError(f"{file!r} is a result, not an argument")


def _encode_foreign(value: Any, encode_file: Callable[[File], object]) -> object:
    """What msgspec does not know."""
    if isinstance(value, File):
        return encode_file(value)
    if _is_pydantic_model(type(value)):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    raise TypeError(f"values of type {type(value).__qualname__} have no form in JSON. {_remedy(type(value))}")


def _decode_foreign(kind: Any, data: Any, storage: FileStorage | None = None) -> object:
    if kind is File:
        return File.from_description(data, storage)
    if _is_pydantic_model(kind):
        return kind.model_validate_json(msgspec.json.encode(data))  # strict models take text only as JSON
    return data


def _with_files(value: object, storage: FileStorage | None) -> object:
    """Where the annotation said nothing (`Any`), descriptions of files become files here."""
    match value:
        case {"$file": _}:
            return File.from_description(value, storage)
        case dict():
            return {key: _with_files(item, storage) for key, item in value.items()}
        case list():
            return [_with_files(item, storage) for item in value]
        case _:
            return value


def _is_pydantic_model(kind: object) -> bool:
    """By what it can do: jobkit never imports pydantic."""
    return isinstance(kind, type) and hasattr(kind, "model_validate_json") and hasattr(kind, "model_dump")


def _is_result_type(kind: object) -> bool:
    return kind is File or _is_pydantic_model(kind)


def _result_type(perform: Any) -> Any:
    hint = _return_hint(perform)
    if get_origin(hint) in _AWAITABLES and not inspect.iscoroutinefunction(perform):
        hint = get_args(hint)[-1]
    return None if hint in (Never, NoReturn) else hint


def _return_hint(perform: Any) -> Any:
    """Only the return annotation is resolved: `Progress` may well be imported for type checking alone."""
    perform = inspect.unwrap(perform)
    annotations = {name: hint for name, hint in perform.__annotations__.items() if name == "return"}
    stand_in: Any = SimpleNamespace(__annotations__=annotations, __globals__=perform.__globals__)
    return resolved_hints(stand_in, include_extras=True).get("return", Any)


def _refuse_unsupported(what: str, hint: Any, allowed: Callable[[object], bool]) -> None:
    try:
        nodes = list(_nodes(msgspec.inspect.type_info(hint), set()))
        msgspec.json.Decoder(hint)
    except TypeError as error:
        raise BadJob(f"{what} cannot be stored: {error}. Declare a simpler type, or wrap it in a Struct.") from error
    for node in nodes:
        if isinstance(node, msgspec.inspect.CustomType) and node.cls is not object and not allowed(node.cls):
            raise BadJob(f"{what} cannot be stored: {_shown(node.cls)} has no form in JSON. {_remedy(node.cls)}")


def _nodes(node: object, seen: set[int]) -> Iterator[msgspec.inspect.Type]:
    """A type and all types within it; recursive ones once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, msgspec.inspect.Type):
        yield node
    if isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field | tuple):
        for _, part in parts(node):
            yield from _nodes(part, seen)


def _traces_of_nonfinite(hints: Iterable[Any]) -> tuple[bytes, ...]:
    """What in the JSON of these types betrays a number that JSON does not have; as text only few types write it."""
    nodes = (node for hint in hints for node in _nodes(msgspec.inspect.type_info(hint), set()))
    return _ALL_TRACES if any(isinstance(node, _WRITING_NUMBERS_AS_TEXT) for node in nodes) else _ALL_TRACES[:1]


def _shows_any(traces: tuple[bytes, ...], data: bytes) -> bool:
    for trace in traces:  # noqa: SIM110  a generator would cost more than the search
        if trace in data:
            return True
    return False


def _first_nonfinite(value: object) -> str | None:
    pending = [("$", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, float | Decimal) and not math.isfinite(item):
            return f"{path} is {item}, which has no place in JSON. Use None for an absent number."
        pending += [(path + step, part) for step, part in parts(item)][::-1]
    return None


def _explained(value: object, error: Exception, encode: Callable[[object], bytes]) -> str:
    """Why `value` could not be encoded, with the path to the culprit, which msgspec does not tell."""
    path = "$"
    while not isinstance(error, RecursionError) and (found := _unencodable_part(value, encode)):
        step, value, error = found
        path += step
    if isinstance(error, RecursionError):
        return f"{path} contains itself or is nested too deeply. Flatten it."
    return f"{path}: {str(error).rstrip('.')}."


def _unencodable_part(value: object, encode: Callable[[object], bytes]) -> tuple[str, object, Exception] | None:
    for step, part in parts(value):
        try:
            encode(part)
        except _UNENCODABLE as error:
            return step, part, error
    return None


_REMEDIES: Final[Mapping[str, str]] = {
    "File": "Files are results; pass a path as str.",
    "Path": "Use str and make the Path from it, or return a jobkit.File.",
    "ndarray": "Use list[float] and .tolist().",
    "DataFrame": "Use list[dict[str, Any]] and .to_dict('records'), or return a jobkit.File.",
    "Series": "Use list[float] and .to_list().",
    "complex": "Use tuple[float, float].",
    "range": "Use its start, stop and step as int.",
    "generator": "Use a list.",
    "list_iterator": "Use a list.",
    "tuple": "As a key use text, or make the dict a list of pairs.",
    "frozenset": "As a key use text, or make the dict a list of pairs.",
    "function": "Pass its name and look it up.",
    "Callable": "Pass its name and look it up.",
}


def _remedy(kind: type) -> str:
    general = "Use numbers, text, dates, lists, dicts, dataclasses, Structs or pydantic models."
    return next((_REMEDIES[base.__name__] for base in _lineage(kind) if base.__name__ in _REMEDIES), general)


def _lineage(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__mro__", ()) or (kind,)


def _shown(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)


def _mebibytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MiB"


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _brief(value: object) -> str:
    """Big values are cut before they are written out."""
    abbreviation = reprlib.Repr()
    abbreviation.maxstring = abbreviation.maxother = 60
    return abbreviation.repr(value)


# --- The base class ------------------------------------------------------------------------------------------------


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class ProgressJob(msgspec.Struct, Generic[R_co], metaclass=JobMeta):
    """One piece of work; `R` is what `perform` returns.

    Annotated attributes are arguments, given by name and validated; un-annotated ones are options. Jobs are
    immutable values: equal if they are of one class and have equal arguments. Making one raises `BadArguments` if
    they do not fit; a wrong class raises `BadJob` where it is defined.
    """

    job_name: ClassVar[str | None] = None
    cache_key: ClassVar[tuple[str, ...] | EveryField | None] = None
    cache_version: ClassVar[int | str] = 1
    tags: ClassVar[tuple[str, ...]] = ()
    cache_ttl: ClassVar[timedelta | float | None] = None
    keep_for: ClassVar[timedelta | float] = timedelta(hours=24)
    queue: ClassVar[str] = "default"
    priority: ClassVar[int] = 0
    max_attempts: ClassVar[int] = 1
    max_crashes: ClassVar[int] = 3
    undeliverable_after: ClassVar[timedelta | float] = timedelta(minutes=10)
    cancel_grace: ClassVar[timedelta | float] = 10.0
    lease: ClassVar[timedelta | float | None] = None
    stages: ClassVar[Mapping[str, float] | None] = None
    submittable: ClassVar[bool] = False
    public_result: ClassVar[bool] = False

    def perform(self, progress: Progress, /) -> R_co | Awaitable[R_co]:
        """Do the work and return its result; `async def` is as good."""
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_brief(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({_shortened(shown, 500)})"

    def __deepcopy__(self, _memo: object) -> "ProgressJob[R_co]":
        copied: ProgressJob[R_co] = spec_of(self).validated(self)
        return copied

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} is not pickled: jobs travel as JSON. Submit it through the kit,"
            " or pass its arguments and make it there."
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> dict[str, Any]:
        # A pydantic core schema is a plain dictionary, so none of pydantic is needed to describe one.
        return {
            "type": "function-plain",
            "function": {"type": "no-info", "function": partial(_job_from_request, cls)},
            "serialization": {"type": "function-plain", "function": _arguments_as_builtins},
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, _core_schema: object, _handler: object) -> dict[str, Any]:
        (schema,), components = msgspec.json.schema_components(
            [cls], schema_hook=_schema_of_foreign, ref_template="{name}"
        )
        inlined: dict[str, Any] = _inlined(schema, components, ())
        return inlined


def _job_from_request(cls: Any, value: object) -> object:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise BadArguments(f"{spec_of(cls).name}: expected an object with the arguments by name.")
    return cls(**value)


def _arguments_as_builtins(job: "ProgressJob[Any]") -> object:
    return msgspec.json.decode(spec_of(job).encode_arguments(job))


def _schema_of_foreign(_kind: type) -> dict[str, Any]:
    return {"type": "object"}


def _inlined(schema: Any, components: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """Replace every `$ref` by what it names: a host's OpenAPI document has no place for our definitions."""
    match schema:
        case {"$ref": str(name), **rest}:
            return {} if name in within else _inlined({**components[name], **rest}, components, (*within, name))
        case dict():
            return {key: _inlined(value, components, within) for key, value in schema.items()}
        case list():
            return [_inlined(item, components, within) for item in schema]
        case _:
            return schema
