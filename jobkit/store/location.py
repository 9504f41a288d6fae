"""Says where the store is: a URL, or the default directory, becomes one frozen value.

    redis://[user:password@]host[:port][/db]                    TcpLocation
    unix://[user:password@]/path[?db=0]                         UnixLocation
    redis+sentinel://[user:password@]host[:port],…/service[/db] SentinelLocation
    redis+cluster://[user:password@]host[:port],…               ClusterLocation
    embedded:PATH                                               EmbeddedLocation

`rediss` for `redis` is the same with TLS.

All but the last take `?partitions=N`: how many partitions a namespace has that is founded there.

`str()` and `repr()` of a location never show a password, so a location may be logged.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from jobkit.errors import StoreMisconfigured

URL_VARIABLE = "JOBKIT_URL"
DEFAULT_DIRECTORY = ".jobkit"
MOST_PARTITIONS = 1024

_FORMS = {
    "redis": "redis://HOST:PORT/DB",
    "rediss": "rediss://HOST:PORT/DB",
    "unix": "unix:///PATH",
    "redis+sentinel": "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB",
    "rediss+sentinel": "rediss+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB",
    "redis+cluster": "redis+cluster://HOST:PORT,HOST:PORT",
    "rediss+cluster": "rediss+cluster://HOST:PORT,HOST:PORT",
    "embedded": "embedded:PATH",
}
_ANY_FORM = ", ".join(list(_FORMS.values())[:-1]) + f" or {_FORMS['embedded']}"
_ENCODE = "A password's special characters are percent-encoded: '/' is %2F, '@' %40, '#' %23, '?' %3F, ':' %3A."
_HOST_AND_PORT = re.compile(
    r"(localhost|\d+(\.\d+){3}|[a-z][a-z0-9-]*(\.[a-z0-9-]+)+):\d{1,5}(/\d+)?|[a-z-]+:6379(/\d+)?"
)
"""What is clearly no user with a password."""
_PORT = 6379
_SENTINELS_PORT = 26379
_TLS_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CERTIFICATE_CHECKS = ("required", "optional", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Who asks the server."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        secret = "" if self.password is None else ":***"
        return f"{quote(self.username or '')}{secret}@" if self.username or secret else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How the connection is encrypted; the paths are PEM files, None means the system's own."""

    check: str = "required"
    check_hostname: bool = True
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpLocation:
    """A server on the network."""

    host: str
    port: int = _PORT
    db: int = 0
    credentials: Credentials = Credentials()
    tls: Tls | None = None
    partitions: int | None = None

    def __str__(self) -> str:
        scheme = "rediss" if self.tls else "redis"
        host = f"[{self.host}]" if ":" in self.host else self.host
        partitions = f"?partitions={self.partitions}" if self.partitions else ""
        return f"{scheme}://{self.credentials}{host}:{self.port}/{self.db}{partitions}"


@dataclass(frozen=True, kw_only=True, slots=True)
class UnixLocation:
    """A server on this machine's socket."""

    path: Path
    db: int = 0
    credentials: Credentials = Credentials()
    partitions: int | None = None

    def __str__(self) -> str:
        partitions = f"&partitions={self.partitions}" if self.partitions else ""
        return f"unix://{self.credentials}{self.path}?db={self.db}{partitions}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where somebody can be asked where the servers are."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SentinelLocation:
    """The primary of a service, which its sentinels tell. TLS is for servers and sentinels alike."""

    sentinels: tuple[Address, ...]
    service: str
    db: int = 0
    credentials: Credentials = Credentials()
    sentinel_credentials: Credentials = Credentials()
    tls: Tls | None = None
    partitions: int | None = None

    def __str__(self) -> str:
        scheme = "rediss+sentinel" if self.tls else "redis+sentinel"
        addresses = ",".join(map(str, self.sentinels))
        partitions = f"?partitions={self.partitions}" if self.partitions else ""
        return f"{scheme}://{self.credentials}{addresses}/{quote(self.service)}/{self.db}{partitions}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterLocation:
    """The shards of a cluster, which any of its nodes tells; some of them are named."""

    nodes: tuple[Address, ...]
    credentials: Credentials = Credentials()
    tls: Tls | None = None
    partitions: int | None = None

    def __str__(self) -> str:
        scheme = "rediss+cluster" if self.tls else "redis+cluster"
        partitions = f"?partitions={self.partitions}" if self.partitions else ""
        return f"{scheme}://{self.credentials}{','.join(map(str, self.nodes))}{partitions}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedLocation:
    """A directory whose processes share one server; `embedded.ensure_server(directory)` says its socket."""

    directory: Path

    @property
    def partitions(self) -> int | None:
        """As the namespace has them; a new one has one."""
        return None

    def __str__(self) -> str:
        return f"embedded:{self.directory}"


Location = TcpLocation | UnixLocation | SentinelLocation | ClusterLocation | EmbeddedLocation


def locate(url: str | None = None, *, environment: Mapping[str, str] = os.environ) -> Location:
    """Where the store is: the URL, else JOBKIT_URL, else `.jobkit` beside the nearest pyproject.toml.

    Raises:
        StoreMisconfigured: the URL names no store; the text says what to write instead.
    """
    if url is not None:
        return parse(url)
    named = environment.get(URL_VARIABLE)
    if not named:
        return EmbeddedLocation(directory=default_directory(Path.cwd()))
    try:
        return parse(named)
    except StoreMisconfigured as error:
        raise StoreMisconfigured(f"{URL_VARIABLE}: {error}") from None


def default_directory(start: Path) -> Path:
    """`.jobkit` beside the nearest pyproject.toml upward, else in the directory itself."""
    start = start.resolve()
    projects = (folder for folder in (start, *start.parents) if (folder / "pyproject.toml").is_file())
    return next(projects, start) / DEFAULT_DIRECTORY


def parse(url: str) -> Location:
    """The location a URL names; relative embedded paths start at the working directory.

    Raises:
        StoreMisconfigured: it names none.
    """
    if not isinstance(url, str):
        raise StoreMisconfigured(f"The store's URL is text, not {type(url).__name__}: write {_ANY_FORM}.")
    scheme, colon, rest = url.strip().partition(":")
    match scheme.lower() if colon else "":
        case "embedded":
            return _parse_embedded(rest)
        case "unix":
            return _parse_unix(_split(url))
        case "redis" | "rediss" as kind:
            return _parse_tcp(_split(url), encrypted=kind == "rediss")
        case "redis+sentinel" | "rediss+sentinel" as kind:
            return _parse_sentinel(_split_many(url), encrypted=kind == "rediss+sentinel")
        case "redis+cluster" | "rediss+cluster" as kind:
            return _parse_cluster(_split_many(url), encrypted=kind == "rediss+cluster")
        case _:
            raise StoreMisconfigured(f"{_what_is_wrong(url.strip())}: write {_ANY_FORM}.{_hint(url.strip())}")


def _what_is_wrong(url: str) -> str:
    """Quotes a scheme that is followed by `://`, never more: what is no URL could be a password."""
    scheme, separator, _ = url.partition("://")
    if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme):
        return f"The store's URL has an unknown scheme, {scheme}://"
    return "The store's URL has no known scheme"


def _hint(url: str) -> str:
    """What was probably meant, where that gives nothing away."""
    if _HOST_AND_PORT.fullmatch(url):
        return f" Did you mean redis://{url}?"
    known = {name: name for name in _FORMS} | {"valkey": "redis", "valkeys": "rediss"}
    close = difflib.get_close_matches(url.partition(":")[0].lower(), known, n=1)
    return f" Did you mean {_FORMS[known[close[0]]]}?" if close else ""


def _parse_embedded(path: str) -> EmbeddedLocation:
    if path.startswith("//") and not path.startswith("///"):
        raise StoreMisconfigured("embedded:// takes no host: write embedded:PATH or embedded:///ABSOLUTE/PATH.")
    if re.search(r"\?\w+=", path):
        raise StoreMisconfigured("embedded: takes no options: write embedded:PATH. (Its store has one partition.)")
    path = path.removeprefix("//")
    if not path or "\0" in path:
        raise StoreMisconfigured(
            f"embedded: names no directory: write embedded:PATH, or leave {URL_VARIABLE} unset for {DEFAULT_DIRECTORY}."
        )
    return EmbeddedLocation(directory=Path(path).expanduser().absolute())


def _parse_unix(parts: SplitResult) -> UnixLocation:
    path = unquote(parts.path)
    if parts.hostname or not path.startswith("/"):
        raise StoreMisconfigured("A unix:// store needs an absolute path with three slashes: unix:///run/valkey.sock.")
    options = _options(parts, ("db", "partitions"))
    return UnixLocation(
        path=Path(path),
        db=_database(options.get("db", "")),
        credentials=_credentials(parts),
        partitions=_partitions(options),
    )


def _parse_tcp(parts: SplitResult, *, encrypted: bool) -> TcpLocation:
    names = ("db", "partitions", *_TLS_OPTIONS) if encrypted else ("db", "partitions")
    options = _options(parts, names)
    return TcpLocation(
        host=_host(parts),
        port=_PORT if parts.port is None else parts.port,
        db=_database(options.pop("db", "") or parts.path.strip("/")),
        credentials=_credentials(parts),
        tls=_tls(options) if encrypted else None,
        partitions=_partitions(options),
    )


def _parse_sentinel(parts: list[SplitResult], *, encrypted: bool) -> SentinelLocation:
    whole = parts[0]
    service, _, database = whole.path.strip("/").partition("/")
    if not service:
        raise StoreMisconfigured(
            f"A {whole.scheme}:// store needs the service's name, as its sentinels know it: {_FORMS[whole.scheme]}."
        )
    own = ("sentinel_username", "sentinel_password", "partitions")
    options = _options(whole, (*own, *_TLS_OPTIONS) if encrypted else own)
    return SentinelLocation(
        sentinels=_addresses(parts, _SENTINELS_PORT),
        service=unquote(service),
        db=_database(database),
        credentials=_credentials(whole),
        sentinel_credentials=Credentials(
            username=options.get("sentinel_username") or None, password=options.get("sentinel_password") or None
        ),
        tls=_tls(options) if encrypted else None,
        partitions=_partitions(options),
    )


def _parse_cluster(parts: list[SplitResult], *, encrypted: bool) -> ClusterLocation:
    whole = parts[0]
    if whole.path.strip("/") not in ("", "0"):
        raise StoreMisconfigured(f"A {whole.scheme}:// store has database 0 only: leave the path out.")
    options = _options(whole, ("partitions", *_TLS_OPTIONS) if encrypted else ("partitions",))
    return ClusterLocation(
        nodes=_addresses(parts, _PORT),
        credentials=_credentials(whole),
        tls=_tls(options) if encrypted else None,
        partitions=_partitions(options),
    )


def _addresses(parts: list[SplitResult], port: int) -> tuple[Address, ...]:
    return tuple(Address(host=_host(part), port=port if part.port is None else part.port) for part in parts)


def _split_many(url: str) -> list[SplitResult]:
    """The parts of a URL that names several hosts: the whole with the first of them, then each other one alone."""
    scheme, _, rest = url.strip().partition(":")
    rest = rest.removeprefix("//")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    login, at, hosts = authority.rpartition("@")
    first, *others = hosts.split(",")
    tail = rest[len(authority) :]
    return [_split(f"{scheme}://{login}{at}{first}{tail}"), *(_split(f"{scheme}://{host}") for host in others)]


def _split(url: str) -> SplitResult:
    """The URL's parts; errors quote none of them, since a misread URL has its password anywhere."""
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018  raises ValueError
    except ValueError:
        raise StoreMisconfigured(f"The store's URL cannot be read: write {_ANY_FORM}. {_ENCODE}") from None
    if "@" in parts.path + parts.query or parts.fragment:
        raise StoreMisconfigured(f"The store's URL has a '@' or '#' in an odd place. {_ENCODE}")
    return parts


def _host(parts: SplitResult) -> str:
    if not parts.hostname:
        raise StoreMisconfigured(f"A {parts.scheme}:// store needs a host: {_FORMS[parts.scheme]}.")
    return unquote(parts.hostname)


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise StoreMisconfigured("The store's URL names its database by something else than a number, like /0.")
    return int(text or 0)


def _partitions(options: Mapping[str, str]) -> int | None:
    text = options.get("partitions")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_PARTITIONS):
        raise StoreMisconfigured(f"partitions={text[:20]!r} must be a whole number, 1 to {MOST_PARTITIONS}.")
    return int(text)


def _credentials(parts: SplitResult) -> Credentials:
    return Credentials(
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _tls(options: Mapping[str, str]) -> Tls:
    check = options.get("ssl_cert_reqs", "required")
    if check not in _CERTIFICATE_CHECKS:
        raise StoreMisconfigured(f"ssl_cert_reqs={check!r} must be one of {', '.join(_CERTIFICATE_CHECKS)}.")
    return Tls(
        check=check,
        # An unchecked certificate has no name worth comparing; the ssl module refuses the combination.
        check_hostname=_truth(options, "ssl_check_hostname", default=check != "none"),
        ca_certs=options.get("ssl_ca_certs"),
        certfile=options.get("ssl_certfile"),
        keyfile=options.get("ssl_keyfile"),
    )


def _truth(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    match options.get(name, "").lower():
        case "":
            return default
        case "true" | "yes" | "1":
            return True
        case "false" | "no" | "0":
            return False
        case other:
            raise StoreMisconfigured(f"{name}={other!r} must be true or false.")


def _options(parts: SplitResult, known: tuple[str, ...]) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise StoreMisconfigured(_advice(name, known, parts.scheme))
    return options


def _advice(name: str, known: tuple[str, ...], scheme: str) -> str:
    if "timeout" in name or "retry" in name or name == "max_connections":
        return f"The store's URL sets {name!r}: leave it out, jobkit sets its own for each kind of operation."
    if name in _TLS_OPTIONS:
        encrypted = scheme.replace("redis", "rediss") if scheme.startswith("redis") else "rediss"
        return f"The store's URL sets {name!r}, which needs TLS: write {encrypted}:// instead of {scheme}://."
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"The store's URL has an unknown option {name!r}; {scheme}:// takes {', '.join(known)}.{hint}"
