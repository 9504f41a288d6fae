"""What an author writes: a job class, checked where it is defined, and all that is read off it once.

A `ProgressJob` is a `msgspec.Struct`. Annotated attributes are its arguments, un-annotated ones its options. The
metaclass refuses a wrong class when Python defines it, so a mistake is seen at import and not by a user at night:
everything it says is a `BadJob` with advice.

Making a job validates it by its own round trip: it is encoded, and what decodes from that is the job. So whatever is
accepted can be stored, a worker sees exactly what the submitter sees, and equal arguments are equal: `150` given for
a float is 150.0 before a cache key is made of it. Since `copy`, `msgspec.structs.replace` and the like go around the
metaclass, `JobSpec` takes the same round trip before it encodes arguments or makes a key.

`JobSpec` is the machine's view of a class: name, options, codecs. Everything else in jobkit asks it, not the class.
"""

import difflib
import inspect
import re
import reprlib
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar, Generic, Never, NoReturn, TypeVar, dataclass_transform, get_args, get_origin
from typing import get_type_hints as resolved_hints

import msgspec

from jobkit.cache_key import CacheKeys
from jobkit.codec import ArgumentsCodec, ResultCodec
from jobkit.errors import BadArguments, BadJob
from jobkit.files import File, FileStorage
from jobkit.hooks import FACTS, Event, Start
from jobkit.limits import Limit
from jobkit.options import ALL, OPTION_CHECKS, OPTION_NAMES, OWN_NAME, EveryField, Options, word
from jobkit.progress import Progress
from jobkit.schedule import Cron, Every
from jobkit.schema import core_schema, json_schema

__all__ = ["ALL", "UNWATCHED", "JobSpec", "ProgressJob", "spec_of"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_NEED_A_KEY = {
    "cache_ttl": "remembers nothing",
    "failure_ttl": "refuses nothing",
    "throttle": "delays nothing",
    "debounce": "waits for nothing",
}
_NEED_A_MEMO = {"stale_ttl": "serves nothing", "refresh": "refreshes nothing", "l1_ttl": "remembers nothing"}
UNWATCHED = (
    "abandon_after stops a run that nobody waits for, and nobody waits for what a schedule starts. Schedule a class"
    " derived from it, with abandon_after = None."
)
_REMEDIES = {
    "cache_key": "Add cache_key = ALL or a tuple of argument names.",
    "cache_ttl": "Add cache_ttl, how long a result answers.",
}
_HOOKS = frozenset(Event)
_BEHAVIOUR = (FunctionType, classmethod, staticmethod, property)
_AWAITABLES = (Awaitable, Coroutine)
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `([^`]*)`\.")
"""What msgspec says of an argument that is none, in JSON."""


# --- Defining a job class ------------------------------------------------------------------------------------------


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class JobMeta(msgspec.StructMeta):
    """Checks a job class when it is defined and each job when it is made."""

    __jobspec__: "JobSpec"

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: object) -> "JobMeta":
        definition = _Definition(name, bases, namespace)
        if definition.parent:  # else it is ProgressJob itself
            definition.refuse_mistakes(keywords)
        try:
            cls = super().__new__(mcls, name, bases, namespace, kw_only=True, frozen=True, forbid_unknown_fields=True)
        except (TypeError, ValueError) as error:
            raise definition.refusal(f"{error}") from error
        for changing in ("__setattr__", "__delattr__"):  # msgspec refuses too, but says only "immutable type"
            type.__setattr__(cls, changing, _refuse_change)
        cls.__jobspec__ = definition.specified(cls)
        if definition.parent:
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


def _refuse_change(job: object, name: str, *_value: object) -> NoReturn:
    raise AttributeError(
        f"{type(job).__name__}.{name} is not to be changed: jobs are frozen. Make another one, anew or by"
        f" msgspec.structs.replace(job, {name}=...)."
    )


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

    def specified(self, cls: JobMeta) -> "JobSpec":
        inherited = self.parent.__jobspec__.options if self.parent else Options()
        job_name = self.namespace.get(OWN_NAME)
        name = (
            _name_of(cls.__module__, cls.__qualname__) if job_name is None else self.checked(OWN_NAME, job_name, word)
        )
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
            self.refuse_shared_default(name)
        if "__init__" in self.namespace:
            raise self.refusal(
                "a job has no __init__ of its own. Make its arguments annotated attributes (`month: str`), and check"
                " them in __post_init__."
            )
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

    def refuse_shared_default(self, name: str) -> None:
        value = self.namespace.get(name)
        if isinstance(value, list | dict | set) and value:
            raise self.refusal(
                f"all jobs would share the default of {name!r}, which can be changed. Write"
                f" `{name}: ... = msgspec.field(default_factory=lambda: {_brief(value)})`."
            )

    def taken_names(self) -> set[str]:
        taken = {name for base in self.bases for ancestor in base.__mro__ for name in vars(ancestor)}
        return taken.difference(*(base.__struct_fields__ for base in self.job_bases))

    def accept_attribute(self, name: str, value: object) -> None:
        if name in OPTION_CHECKS:
            self.options[name] = self.checked(name, value, OPTION_CHECKS[name])
        elif self.parent and name in self.parent.__struct_fields__:
            raise self.refusal(f"{name!r} is an argument of the base class. Write `{name}: <type> = ...`.")
        elif name in _HOOKS and not isinstance(value, FunctionType):
            raise self.refusal(f"{name} must be a method: `{_hook_like(Event(name))}`.")
        elif name not in (OWN_NAME, "perform") and not _is_plain_attribute(name, value):
            raise self.refusal(self.advice_on_unknown(name, value))

    def checked(self, name: str, value: object, check: Callable[[object], T]) -> T:
        try:
            return check(value)
        except ValueError as error:
            raise self.refusal(f"{name} = {_brief(value)} {error}.") from None

    def advice_on_unknown(self, name: str, value: object) -> str:
        advice = _did_you_mean(name, OPTION_NAMES) or (
            f"As an argument write `{name}: {type(value).__name__} = {_brief(value)}`,"
            f" as a constant {name.upper()} or _{name}."
        )
        return f"there is no option {name!r}. {advice}"

    def refusal(self, text: str) -> BadJob:
        module, qualname = self.namespace.get("__module__", ""), self.namespace.get("__qualname__", self.name)
        return BadJob(f"{_name_of(module, qualname)}: {text}")


def _hook_like(event: Event) -> str:
    """How a hook of this event begins."""
    return f"def {event}({', '.join(('self', 'run', *FACTS[event]))}) -> None"


def _is_plain_attribute(name: str, value: object) -> bool:
    """A method, a nested class, a private name or a constant in capitals: no option was meant."""
    return isinstance(value, type) or hasattr(type(value), "__get__") or name.startswith("_") or name != name.lower()


def _name_of(module: str, qualname: str) -> str:
    """`module.qualname`, the same whether the module was imported or started as a program."""
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec else Path(file).stem if file else module
    return f"{module}.{qualname}"


# --- What is read off a job class ----------------------------------------------------------------------------------


def spec_of(job: "ProgressJob[Any] | type") -> "JobSpec":
    """The one spec of a job's class.

    Raises:
        BadJob: this is no job class, or one without `perform`.
    """
    cls = job if isinstance(job, type) else type(job)
    if not isinstance(cls, JobMeta):
        raise BadJob(f"{_name_of(cls.__module__, cls.__qualname__)} is no job. Derive it from ProgressJob.")
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
        return self._defined("perform") is ProgressJob.perform

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
    def hooks(self) -> frozenset[Event]:
        """The events for which the class has a hook."""
        return frozenset(event for event in Event if self._defined(event) is not _DEFAULTS[event])

    @property
    def returns_files(self) -> bool:
        """Whether the result is declared to be, or to hold, a `File`."""
        return self._codecs.results.holds_files

    @cached_property
    def cache_key_fields(self) -> tuple[str, ...] | None:
        """The arguments that make two jobs identical; None: no two are."""
        declared = self.options.cache_key
        return self.job_class.__struct_fields__ if isinstance(declared, EveryField) else declared

    @cached_property
    def _cache_keys(self) -> CacheKeys | None:
        if self.cache_key_fields is None:
            return None
        return CacheKeys(self.name, self.options.cache_version, self.cache_key_fields)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """What may not run at once, or too often."""
        return self.options.max_running + self.options.rate

    @cached_property
    def cache_version(self) -> str:
        return str(self.options.cache_version)

    @cached_property
    def _codecs(self) -> "_Codecs":
        """Both at once: a job whose result could not be stored is refused before it has run."""
        try:
            declared = Any if self.is_abstract else _result_type(self.job_class.perform)
            arguments = ArgumentsCodec(self.name, self.job_class, refusal=self._bad_arguments)
            return _Codecs(arguments, ResultCodec(self.name, declared))
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
            self._refuse_bad_perform(self._defined("perform"))
            self._refuse_contradictions()
        self._refuse_bad_hooks()
        with suppress(_UnresolvedName):
            self._codecs  # noqa: B018  building them is the check

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

    def _refuse_bad_hooks(self) -> None:
        for ancestor in self.job_class.__mro__:
            for event in () if isinstance(ancestor, JobMeta) else Event:
                if event in vars(ancestor) and self._defined(event) is _DEFAULTS[event]:
                    name, mixin = self.job_class.__name__, ancestor.__name__
                    raise BadJob(
                        f"{self.name}: {event} of {mixin} would never be called, as the job class comes before it."
                        f" Turn them round: class {name}({mixin}, …)."
                    )
        for event in self.hooks:
            self._refuse_bad_hook(event, self._defined(event))

    def _refuse_bad_hook(self, event: Event, hook: object) -> None:
        if not isinstance(hook, FunctionType):
            raise BadJob(f"{self.name}: {event} must be a method: `{_hook_like(event)}`.")
        if inspect.isgeneratorfunction(hook) or inspect.isasyncgenfunction(hook):
            raise BadJob(f"{self.name}: {event} must not yield, or it is never run. Remove the `yield`.")
        try:
            inspect.signature(hook).bind(None, None, *FACTS[event])
        except TypeError:
            raise BadJob(f"{self.name}: {event} is called with other arguments: `{_hook_like(event)}`.") from None

    def _defined(self, name: str) -> object:
        return inspect.getattr_static(self.job_class, name)

    def _refuse_contradictions(self) -> None:
        for name in set(self.cache_key_fields or ()).difference(self.job_class.__struct_fields__):
            advice = _did_you_mean(name, self.job_class.__struct_fields__) or f"Its arguments are {self._signature}."
            raise BadJob(f"{self.name}: cache_key names {name!r}, which is no argument. {advice}")
        for limit in self.limits:
            for name in set(limit.fields).difference(self.job_class.__struct_fields__):
                advice = (
                    _did_you_mean(name, self.job_class.__struct_fields__) or f"Its arguments are {self._signature}."
                )
                raise BadJob(f"{self.name}: a limit names {name!r}, which is no argument. {advice}")
        self._refuse_idle_retries()
        self._refuse_without("cache_key", _NEED_A_KEY, "no two jobs are identical")
        self._refuse_without("cache_ttl", _NEED_A_MEMO, "no result is remembered")
        self._refuse_bad_schedule()

    def _refuse_bad_schedule(self) -> None:
        if self.options.schedule is None:
            return
        parameters = self.job_class.__signature__.parameters.values()
        needed = [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]
        if needed:
            raise BadJob(
                f"{self.name}: schedule performs the job with its default arguments, and {needed[0]!r} has none. Give"
                f" it one, or name the arguments: kit.schedule('nightly', {self.job_class.__name__}(...), ...)."
            )
        if self.options.abandon_after is not None:
            raise BadJob(f"{self.name}: {UNWATCHED}")

    def _refuse_without(self, needed: str, options: Mapping[str, str], why: str) -> None:
        if getattr(self.options, needed) is not None:
            return
        for name, in_vain in options.items():
            if getattr(self.options, name):
                raise BadJob(f"{self.name}: {name} without {needed} {in_vain}, for {why}. {_REMEDIES[needed]}")

    def _refuse_idle_retries(self) -> None:
        usual, options = Options(), self.options
        for name in ("backoff", "retry_on", "give_up_on") if options.max_attempts == 1 else ():
            if getattr(options, name) != getattr(usual, name):
                raise BadJob(
                    f"{self.name}: {name} without max_attempts does nothing, for a run is tried once. "
                    "Add max_attempts, how often it may be tried."
                )

    def nothing_to_perform(self) -> BadJob:
        return BadJob(
            f"{self.name} has no perform, so there is nothing to run."
            " Add `def perform(self, progress: Progress) -> ...`, or use a class derived from it."
        )

    # Arguments

    def encoded(self, job: "ProgressJob[Any]") -> bytes:
        """The arguments as JSON, looked into only where it may lose some: equal JSON makes equal jobs, if any."""
        arguments = self._codecs.arguments
        return arguments.round_trip(job)[0] if arguments.may_lose else arguments.encode(job)

    def encode_arguments(self, job: "ProgressJob[Any]") -> bytes:
        """The arguments as JSON.

        Raises:
            BadArguments: they do not fit their types, or are too large.
        """
        return self.checked(job)[0]

    def decode_arguments(self, data: bytes) -> Any:
        """The job these arguments make.

        Raises:
            BadArguments: they do not fit; the message names the path.
        """
        return self._codecs.arguments.decode(data)

    def validated(self, job: Any) -> Any:
        """The job after its round trip.

        Raises:
            BadArguments: it does not survive; the message names the path.
        """
        return self.checked(job)[1]

    def cache_key(self, job: "ProgressJob[Any]") -> str | None:
        """The name under which equal submissions meet; None if this job is never shared.

        Raises:
            BadArguments: an argument named by `cache_key` has no canonical form.
        """
        return self.key_of(self.validated(job))

    def checked(self, job: "ProgressJob[Any]") -> tuple[bytes, Any]:
        """The arguments as JSON, and the job that they make: every value of exactly its declared type.

        Raises:
            BadArguments: they do not fit their types, or are too large.
        """
        return self._codecs.arguments.round_trip(job)

    def key_of(self, checked: Any) -> str | None:
        """As `cache_key`, of a job that has had its round trip."""
        if self._cache_keys is None:
            return None
        try:
            return self._cache_keys.of(checked)
        except BadArguments as error:
            raise BadArguments(f"{self.name}: {error}") from None

    def refused_call(self, args: tuple[object, ...], given: Mapping[str, object], error: Exception) -> BadArguments:
        """Why `Job(*args, **given)` could not even be put together."""
        if args:
            return self._bad_arguments("arguments are given by name.")
        known = self.job_class.__struct_fields__
        for name in given:
            if name not in known:
                return self._bad_arguments(self._unknown(name))
        return self._bad_arguments(f"{error}.")

    def _unknown(self, name: str) -> str:
        return f"$.{name} is unknown. {_did_you_mean(name, self.job_class.__struct_fields__)}".rstrip()

    def _bad_arguments(self, detail: str) -> BadArguments:
        if unknown := _UNKNOWN_FIELD.fullmatch(detail):
            detail = self._unknown(unknown[1])
        return BadArguments(f"{self.name}: {detail} Expected {self.job_class.__name__}{self._signature}.")

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
        return self._codecs.results.encode(value, keep=keep)

    def decode_result(self, data: bytes, *, storage: FileStorage | None = None) -> Any:
        """The result in the type `perform` declares; files in it have a path if their `storage` is given.

        Raises:
            BadResult: it was written by another version of the job.
        """
        return self._codecs.results.decode(data, storage=storage)


class _UnresolvedName(BadJob):
    """An annotation names what does not exist (yet)."""


@dataclass(frozen=True)
class _Codecs:
    arguments: ArgumentsCodec
    results: ResultCodec


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


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _brief(value: object) -> str:
    """Big values are cut before they are written out."""
    abbreviation = reprlib.Repr()
    abbreviation.maxstring = abbreviation.maxother = 60
    return abbreviation.repr(value)


# --- The base class ------------------------------------------------------------------------------------------------


# Repeated, for without it mypy says of every job: "Frozen dataclass cannot inherit from a non-frozen dataclass".
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
    stale_ttl: ClassVar[timedelta | float | None] = None
    failure_ttl: ClassVar[timedelta | float | None] = None
    refresh: ClassVar[bool] = False
    throttle: ClassVar[timedelta | float | None] = None
    debounce: ClassVar[timedelta | float | None] = None
    l1_ttl: ClassVar[timedelta | float | None] = None
    keep_for: ClassVar[timedelta | float] = timedelta(hours=24)
    schedule: ClassVar[str | timedelta | float | Cron | Every | None] = None
    queue: ClassVar[str] = "default"
    priority: ClassVar[int] = 0
    max_running: ClassVar[int | Mapping[Any, int] | None] = None
    rate: ClassVar[str | tuple[int, timedelta | float] | Mapping[Any, Any] | None] = None
    fair_share: ClassVar[bool] = False
    max_queued: ClassVar[int | None] = None
    expires: ClassVar[timedelta | float | None] = None
    max_attempts: ClassVar[int] = 1
    backoff: ClassVar[timedelta | float | tuple[timedelta | float, ...] | None] = None
    retry_on: ClassVar[type[Exception] | tuple[type[Exception], ...]] = (Exception,)
    give_up_on: ClassVar[type[Exception] | tuple[type[Exception], ...]] = ()
    max_crashes: ClassVar[int] = 3
    undeliverable_after: ClassVar[timedelta | float] = timedelta(minutes=10)
    cancel_grace: ClassVar[timedelta | float] = 10.0
    abandon_after: ClassVar[timedelta | float | None] = None
    lease: ClassVar[timedelta | float | None] = None
    strict_lease: ClassVar[bool] = False
    time_limit: ClassVar[timedelta | float | None] = None
    stall_limit: ClassVar[timedelta | float | None] = None
    memory_limit: ClassVar[int | str | None] = None
    leak_warning: ClassVar[int | str | None] = None
    stages: ClassVar[Mapping[str, float] | None] = None
    submittable: ClassVar[bool] = False
    public_result: ClassVar[bool] = False

    def perform(self, progress: Progress, /) -> R_co | Awaitable[R_co]:
        """Do the work and return its result; `async def` is as good."""
        raise NotImplementedError

    def on_start(self, run: Start, /) -> object:
        """Called before `perform`. As all hooks: under the lease, and what it raises is only logged."""

    def on_success(self, run: Start, result: Any, /) -> object:
        """Called with what `perform` returned, before the run is settled as succeeded."""

    def on_failure(self, run: Start, error: BaseException, /) -> object:
        """Called with what `perform` raised, before the failure is settled; `run.will_retry` tells what follows."""

    def on_cancel(self, run: Start, /) -> object:
        """Called when `perform` was stopped because nobody wants the run any more; not when it was only handed back."""

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
        return core_schema(partial(_job_from_request, cls), _arguments_as_builtins)

    @classmethod
    def __get_pydantic_json_schema__(cls, _core_schema: object, _handler: object) -> dict[str, Any]:
        return json_schema(cls)


_DEFAULTS: Mapping[Event, object] = {event: getattr(ProgressJob, event) for event in Event}
"""The hooks of a class that has none."""


def _job_from_request(cls: Any, value: object) -> object:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise BadArguments(f"{spec_of(cls).name}: expected an object with the arguments by name.")
    return cls(**value)


def _arguments_as_builtins(job: "ProgressJob[Any]") -> object:
    return msgspec.json.decode(spec_of(job).encode_arguments(job))
