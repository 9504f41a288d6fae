"""Between Python values and JSON: the arguments a job is made of, and the result it returns.

msgspec does the work. Added here are the types it leaves to us (pydantic models, files), the refusal of every type and
value that would not come back as it went, and errors that name the path and a remedy.

JSON has no NaN and no infinity, and msgspec writes null for them, which an optional field would swallow. They leave
traces (`null`, or "nan" as a key), so only values whose JSON shows such a trace are searched for them.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, NoReturn

import msgspec

from jobkit.cache_key import parts
from jobkit.errors import BadArguments, BadJob, BadResult
from jobkit.files import MARK, File, FileStorage, with_files_replaced
from jobkit.round_trip import first_loss, steady

MAX_ARGUMENTS_BYTES: Final = 1024**2
MAX_RESULT_BYTES: Final = 8 * 1024**2

_LOSING = (
    msgspec.inspect.AnyType,
    msgspec.inspect.CustomType,
    msgspec.inspect.DataclassType,
    msgspec.inspect.DateTimeType,
    msgspec.inspect.StructType,
    msgspec.inspect.TimeType,
)
"""The types whose values JSON may not hold whole."""
_TOO_DEEP = "contains itself or is nested too deeply. Flatten it."
_MARKED = f'"{MARK}":'.encode()
_UNENCODABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
_UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)  # one is the other only since msgspec 0.22


class ArgumentsCodec:
    """Jobs of one class and the JSON of their arguments; `refusal` makes the error from what is wrong with them.

    Raises:
        BadJob: an argument is of a type that cannot be stored.
        NameError: an annotation names what does not exist (yet).
    """

    def __init__(self, name: str, job_class: type, refusal: Callable[[str], BadArguments]) -> None:
        for field in msgspec.structs.fields(job_class):
            _refuse_unsupported(f"{name}: the argument {field.name!r}", field.type, allowed=_is_pydantic_model)
        self._refusal = refusal
        self._traces = _traces_of_nonfinite(job_class)
        self._encode = _encoding(_refuse_file)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(job_class, dec_hook=_decode_foreign).decode
        held = [node for node in _types_within(job_class) if getattr(node, "cls", None) is not job_class]
        self.may_lose = any(isinstance(node, _LOSING) for node in held)
        """Whether JSON may not hold its arguments whole."""

    def round_trip(self, job: object) -> tuple[bytes, Any]:
        """The JSON, and the job that it makes, refused unless it is the same. Plain types cost nothing."""
        data = self.encode(job)
        made = self.decode(data)
        try:
            return (data, made) if not self.may_lose or made == job else self._mended(job, data, made)
        except RecursionError:
            raise self._refusal(f"$ {_TOO_DEEP}") from None

    def _mended(self, job: object, data: bytes, made: Any) -> tuple[bytes, Any]:
        try:
            mended = steady(job, self._encode)
        except OverflowError as error:
            raise self._refusal(f"a datetime cannot be told in UTC: {error}.") from error
        if mended is not job:
            data = self.encode(mended)
            made = self.decode(data)
        if loss := first_loss(job, made):
            raise self._refusal(loss)
        return data, made

    def encode(self, job: object) -> bytes:
        data = _encoded(job, self._encode, self._traces, self._refusal)
        if len(data) > MAX_ARGUMENTS_BYTES:
            raise self._refusal(
                f"the arguments take {_mebibytes(len(data))}, the limit is {_mebibytes(MAX_ARGUMENTS_BYTES)}."
                " Put the data into a file or a database and pass its name."
            )
        return data

    def decode(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except _UNDECODABLE as error:
            raise self._refusal(f"{error}.") from error


class ResultCodec:
    """What the `perform` of one job class returns, and its JSON.

    Raises:
        BadJob: the declared type cannot be stored.
        NameError: it names what does not exist (yet).
    """

    def __init__(self, name: str, declared: Any) -> None:
        _refuse_unsupported(f"{name}: the result of perform", declared, allowed=_is_result_type)
        self._name = name
        self._declared = declared
        self._traces = _traces_of_nonfinite(declared)
        self._decode = msgspec.json.Decoder(declared, dec_hook=_decode_foreign).decode

    @property
    def holds_files(self) -> bool:
        """Whether the declared type has a place for a `File`; of `Any` nobody knows."""
        return any(getattr(node, "cls", None) is File for node in _types_within(self._declared))

    def encode(self, value: object, *, keep: Callable[[File], File] | None = None) -> bytes:
        """The result as JSON; each new `File` in it is handed to `keep`, once, and its kept copy encoded."""
        files = _FilesOfResult(keep)
        data = _encoded(value, _encoding(files.encode), self._traces, self._refusal)
        if len(data) > MAX_RESULT_BYTES:
            raise self._refusal(
                f"it takes {_mebibytes(len(data))}, the limit is {_mebibytes(MAX_RESULT_BYTES)}."
                " Write it to a file and return jobkit.File(path)."
            )
        if data.count(_MARKED) != files.encoded:
            raise self._refusal(f"{MARK!r} is reserved as a key. Return jobkit.File(path), or rename the key.")
        try:
            self._decode(data)
        except _UNDECODABLE as error:
            raise self._refusal(f"{error}. Correct perform or its return annotation.") from error
        return data

    def decode(self, data: bytes, *, storage: FileStorage | None = None) -> Any:
        """The result in its declared type; files in it have a path if their `storage` is given."""
        try:
            return self._decoded_with_files(data, storage) if mentions_files(data) else self._decode(data)
        except _UNDECODABLE as error:
            raise BadResult(
                f"{self._name}: the stored result does not fit perform's return annotation: {error}."
                " Raise cache_version when the result's type changes."
            ) from error

    def _decoded_with_files(self, data: bytes, storage: FileStorage | None) -> object:
        """Where the annotation said nothing (`Any`), descriptions of files become files afterwards."""
        decode_foreign = partial(_decode_foreign, storage=storage)
        value = msgspec.json.decode(data, type=self._declared, dec_hook=decode_foreign)
        return with_files_replaced(value, partial(File.from_description, storage=storage))

    def _refusal(self, detail: str) -> BadResult:
        return BadResult(f"{self._name}: perform returned what cannot be kept: {detail}")


def mentions_files(data: bytes) -> bool:
    """Whether there are files in this result; only then does its decoding need their storage."""
    return _MARKED in data


def _encoding(encode_file: Callable[[File], object]) -> Callable[[object], bytes]:
    return msgspec.json.Encoder(enc_hook=partial(_encode_foreign, encode_file=encode_file)).encode


def _encoded(
    value: object, encode: Callable[[object], bytes], traces: re.Pattern[bytes], refusal: Callable[[str], Exception]
) -> bytes:
    try:
        data = encode(value)
    except _UNENCODABLE as error:
        raise refusal(_explained(value, error, encode)) from error
    if traces.search(data) and (found := _first_nonfinite(value)):
        raise refusal(found)
    return data


def _mebibytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MiB"


# What msgspec does not know


def _encode_foreign(value: Any, encode_file: Callable[[File], object]) -> object:
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


def _is_pydantic_model(kind: object) -> bool:
    """By what it can do: jobkit never imports pydantic."""
    return isinstance(kind, type) and hasattr(kind, "model_validate_json") and hasattr(kind, "model_dump")


def _is_result_type(kind: object) -> bool:
    return kind is File or _is_pydantic_model(kind)


class _FilesOfResult:
    """Keeps each file of one result once, however often the result names it."""

    def __init__(self, keep: Callable[[File], File] | None) -> None:
        self._keep = keep
        self._copies: dict[File, File] = {}
        self.encoded = 0

    def encode(self, file: File) -> object:
        self.encoded += 1
        return self._kept(file).described()

    def _kept(self, file: File) -> File:
        if file.key is not None:
            return file
        if self._keep is None:
            raise BadResult(f"{file!r} is in the result, but no file storage is set. Set JOBKIT_FILES to a directory.")
        if file not in self._copies:
            self._copies[file] = self._keep(file)
        return self._copies[file]


def _refuse_file(file: File) -> NoReturn:
    raise TypeError(f"{file!r} is a result, not an argument")


# Types that cannot be stored


def _refuse_unsupported(what: str, hint: Any, allowed: Callable[[object], bool]) -> None:
    try:
        types = _types_within(hint)
        msgspec.json.Decoder(hint)
    except TypeError as error:
        raise BadJob(f"{what} cannot be stored: {error}. Declare a simpler type, or wrap it in a Struct.") from error
    for kind in (node.cls for node in types if isinstance(node, msgspec.inspect.CustomType)):
        if kind is not object and not allowed(kind):
            shown = getattr(kind, "__qualname__", str(kind))
            raise BadJob(f"{what} cannot be stored: {shown} has no form in JSON. {_remedy(kind)}")


def _types_within(hint: Any) -> list[msgspec.inspect.Type]:
    """A type and all types in it; recursive ones once."""
    return list(_nodes(msgspec.inspect.type_info(hint), set()))


def _nodes(node: object, seen: set[int]) -> Iterator[msgspec.inspect.Type]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, msgspec.inspect.Type):
        yield node
    if isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field | tuple):
        for _, part in parts(node):
            yield from _nodes(part, seen)


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
    lineage = getattr(kind, "__mro__", (kind,))  # a generic alias has none
    return next((_REMEDIES[base.__name__] for base in lineage if base.__name__ in _REMEDIES), general)


# Numbers that JSON does not have


_LEAVES = (type(None), str, int, bytes)
_TRACE = b"null"
_TRACES_AS_TEXT = (b'nan"', b'inf"', b'NaN"', b'Infinity"')
_WRITING_NUMBERS_AS_TEXT = (
    msgspec.inspect.DictType,
    msgspec.inspect.DecimalType,
    msgspec.inspect.AnyType,
    msgspec.inspect.CustomType,
)


def _traces_of_nonfinite(hint: Any) -> re.Pattern[bytes]:
    """What in the JSON of this type betrays a number that JSON does not have; as text only few types write it."""
    as_text = any(isinstance(node, _WRITING_NUMBERS_AS_TEXT) for node in _types_within(hint))
    return re.compile(b"|".join(map(re.escape, (_TRACE, *_TRACES_AS_TEXT) if as_text else (_TRACE,))))


def _first_nonfinite(value: object) -> str | None:
    pending = [("$", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, _LEAVES):
            continue
        if isinstance(item, float | Decimal) and not math.isfinite(item):
            return f"{path} is {item}, which has no place in JSON. Use None for an absent number."
        pending += [(path + step, part) for step, part in parts(item)][::-1]
    return None


# Where a value stops being encodable


def _explained(value: object, error: Exception, encode: Callable[[object], bytes]) -> str:
    """Why `value` could not be encoded, with the path to the culprit, which msgspec does not tell."""
    path = "$"
    while not isinstance(error, RecursionError) and (found := _unencodable_part(value, encode)):
        step, value, error = found
        path += step
    if isinstance(error, RecursionError):
        return f"{path} {_TOO_DEEP}"
    return f"{path}: {str(error).rstrip('.')}."


def _unencodable_part(value: object, encode: Callable[[object], bytes]) -> tuple[str, object, Exception] | None:
    for step, part in parts(value):
        try:
            encode(part)
        except _UNENCODABLE as error:
            return step, part, error
    return None
