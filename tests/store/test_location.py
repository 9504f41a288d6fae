"""Where the store is."""

import os
from pathlib import Path
from typing import Any

import pytest

from jobkit.errors import StoreMisconfigured
from jobkit.store.location import (
    Address,
    ClusterLocation,
    Credentials,
    EmbeddedLocation,
    SentinelLocation,
    TcpLocation,
    Tls,
    UnixLocation,
    default_directory,
    locate,
    parse,
)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("redis://localhost", TcpLocation(host="localhost")),
        ("redis://localhost/", TcpLocation(host="localhost")),
        (" REDIS://localhost:7000/3\n", TcpLocation(host="localhost", port=7000, db=3)),
        ("redis://localhost?db=4", TcpLocation(host="localhost", db=4)),
        ("redis://localhost/4?partitions=16", TcpLocation(host="localhost", db=4, partitions=16)),
        ("rediss://h?partitions=1024", TcpLocation(host="h", tls=Tls(), partitions=1024)),
        ("unix:///v.sock?partitions=2", UnixLocation(path=Path("/v.sock"), partitions=2)),
        ("redis://[::1]:7000", TcpLocation(host="::1", port=7000)),
        (
            "redis://ann:p%40ss%2F@h/0",
            TcpLocation(host="h", credentials=Credentials(username="ann", password="p@ss/")),
        ),
        ("redis://:secret@h", TcpLocation(host="h", credentials=Credentials(password="secret"))),
        ("rediss://h", TcpLocation(host="h", tls=Tls())),
        (
            "rediss://h?ssl_cert_reqs=none",
            TcpLocation(host="h", tls=Tls(check="none", check_hostname=False)),
        ),
        (
            "rediss://h/2?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=no",
            TcpLocation(host="h", db=2, tls=Tls(ca_certs="/etc/ca.pem", check_hostname=False)),
        ),
        ("unix:///run/valkey.sock", UnixLocation(path=Path("/run/valkey.sock"))),
        (
            "unix://ann:secret@/run/a%20b.sock?db=2",
            UnixLocation(path=Path("/run/a b.sock"), db=2, credentials=Credentials(username="ann", password="secret")),
        ),
        (
            "redis+sentinel://one,two:7000,[::1]/jobs",
            SentinelLocation(
                sentinels=(
                    Address(host="one", port=26379),
                    Address(host="two", port=7000),
                    Address(host="::1", port=26379),
                ),
                service="jobs",
            ),
        ),
        (
            "rediss+sentinel://ann:p%2Cq@one/my%20jobs/3?partitions=2&sentinel_username=bob&sentinel_password=s%2Ft",
            SentinelLocation(
                sentinels=(Address(host="one", port=26379),),
                service="my jobs",
                db=3,
                credentials=Credentials(username="ann", password="p,q"),
                sentinel_credentials=Credentials(username="bob", password="s/t"),
                tls=Tls(),
                partitions=2,
            ),
        ),
        (
            "redis+cluster://one,two:7000?partitions=16",
            ClusterLocation(nodes=(Address(host="one", port=6379), Address(host="two", port=7000)), partitions=16),
        ),
        (
            "rediss+cluster://:secret@one/0?ssl_ca_certs=/etc/ca.pem",
            ClusterLocation(
                nodes=(Address(host="one", port=6379),),
                credentials=Credentials(password="secret"),
                tls=Tls(ca_certs="/etc/ca.pem"),
            ),
        ),
        ("embedded:/var/lib/jobs", EmbeddedLocation(directory=Path("/var/lib/jobs"))),
        ("embedded:///var/lib/jobs", EmbeddedLocation(directory=Path("/var/lib/jobs"))),
        ("embedded:a b%20c#d?e", EmbeddedLocation(directory=Path.cwd() / "a b%20c#d?e")),
        ("embedded:~/jobs", EmbeddedLocation(directory=Path.home() / "jobs")),
    ],
)
def test_url_becomes_a_location(url: str, location: object) -> None:
    assert parse(url) == location


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "no known scheme: write redis://HOST:PORT/DB"),
        ("localhost:6379", "no known scheme: write redis://HOST:PORT/DB"),
        ("localhost:6379", "Did you mean redis://localhost:6379?"),
        ("cache.example.org:7000/2", "Did you mean redis://cache.example.org:7000/2?"),
        ("http://localhost", "unknown scheme, http://: write redis://HOST:PORT/DB"),
        ("embedded", "Did you mean embedded:PATH?"),
        ("rediss+unix", "no known scheme"),
        (6379, "is text, not int"),
        ("reddis://localhost", "Did you mean redis:"),
        ("valkey://localhost", "Did you mean redis:"),
        ("valkeys://localhost", "Did you mean rediss:"),
        ("redis://", "needs a host: redis://HOST:PORT/DB"),
        ("redis:localhost", "needs a host"),
        ("redis://:6379", "needs a host"),
        ("redis://localhost:port", "cannot be read"),
        ("redis://localhost:70000", "cannot be read"),
        ("redis://[::1", "cannot be read"),
        ("redis://localhost/one", "something else than a number"),
        ("redis://localhost/-1", "something else than a number"),
        ("redis://localhost/٣", "something else than a number"),
        ("redis://localhost?partitions=0", "partitions='0' must be a whole number, 1 to 1024"),
        ("redis://localhost?partitions=1025", "1 to 1024"),
        ("redis://localhost?partitions=", "1 to 1024"),
        ("unix:///v.sock?partitions=two", "1 to 1024"),
        ("redis://localhost?partition=2", "Did you mean 'partitions'"),
        ("redis://localhost?socket_timeout=5", "leave it out, jobkit sets its own"),
        ("redis://localhost?ssl_ca_certs=x", "write rediss:// instead"),
        ("rediss://localhost?ssl_ca_cert=x", "Did you mean 'ssl_ca_certs'"),
        ("rediss://localhost?ssl_cert_reqs=maybe", "one of required, optional, none"),
        ("rediss://localhost?ssl_check_hostname=maybe", "true or false"),
        ("unix://run/valkey.sock", "three slashes"),
        ("unix:", "three slashes"),
        ("unix:///run/v.sock?db=x", "something else than a number"),
        ("embedded:", "names no directory: write embedded:PATH"),
        ("embedded:a\0b", "names no directory"),
        ("embedded://host/path", "takes no host"),
        ("redis+sentinel://", "needs the service's name"),
        ("redis+sentinel://a,b,c", "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
        ("redis+sentinel:///jobs", "needs a host"),
        ("redis+sentinel://a,,b/jobs", "needs a host: redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
        ("redis+sentinel://a:port/jobs", "cannot be read"),
        ("redis+sentinel://a,b:99999/jobs", "cannot be read"),
        ("redis+sentinel://a,b@c/jobs@d", "odd place"),
        ("redis+sentinel://a/jobs/one", "something else than a number"),
        ("redis+sentinel://a/jobs?ssl_ca_certs=x", "write rediss+sentinel:// instead of redis+sentinel://"),
        ("redis+sentinel://a/jobs?password=x", "Did you mean 'sentinel_password'"),
        ("redis+sentinal://a/jobs", "Did you mean redis+sentinel:"),
        ("redis+cluster:", "needs a host: redis+cluster://HOST:PORT,HOST:PORT"),
        ("redis+cluster://a,b/1", "has database 0 only"),
        ("redis+cluster://a?db=1", "unknown option 'db'"),
        ("redis+cluster://a?partitions=0", "1 to 1024"),
    ],
)
def test_bad_url_is_refused_with_advice(url: Any, advice: str) -> None:
    with pytest.raises(StoreMisconfigured) as refused:
        parse(url)
    assert advice in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:s3cret@h/1",
        "rediss://:s3cret@h",
        "unix://ann:s3cret@/run/v.sock",
        "redis+sentinel://ann:s3cret@h,i/jobs?sentinel_password=s3cret",
        "redis+cluster://ann:s3cret@h,i",
    ],
)
def test_password_is_in_no_text_of_a_location(url: str) -> None:
    location = parse(url)
    assert "s3cret" not in f"{location} {location!r}"
    assert ":***@" in str(location)


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "s3cret:12345",
        "ann:s3cret",
        "http://ann:s3cret@h",
        "ann:s3cret@localhost:6379",
        "redis://ann:s3cret",
        "redis://ann:s3cret/x@h",
        "redis://ann:1/s3cret@h",
        "redis://ann:1?s3cret@h",
        "redis://ann:1#s3cret@h",
        "redis://ann:[s3cret@h",
        "reddis://ann:s3cret@h",
        "redis+sentinel://ann:s3cret@h",
        "redis+sentinel://ann:s3cret/x@h,i/jobs",
        "redis+sentinel://ann:s3cret@h,i/jobs?sentinel_pasword=s3cret",
        "redis+cluster://ann:s3cret@h,i:port",
        "redis+cluster://ann:s3cret@h/s3cret",
        "unix://ann:s3cret@host/run",
        "redis://ann:s3cret@h/db",
        "redis://ann:s3cret@h?tiemout=1",
    ],
)
def test_password_is_in_no_refusal(url: str) -> None:
    with pytest.raises(StoreMisconfigured) as refused:
        parse(url)
    assert "s3cret" not in f"{refused.value} {refused.value.__cause__}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:1/2",
        "rediss://ann@h:6379/0",
        "redis://[::1]:6379/0",
        "redis://h:1/2?partitions=4",
        "unix:///v.sock?db=1",
        "unix:///v.sock?db=1&partitions=4",
        "redis+sentinel://h:1,i:2/jobs/0",
        "rediss+sentinel://ann@[::1]:1/jobs/3?partitions=2",
        "redis+cluster://h:1,i:2",
        "redis+cluster://h:1?partitions=2",
        "embedded:/x",
    ],
)
def test_text_of_a_location_without_password_names_it_again(url: str) -> None:
    assert str(parse(url)) == url
    assert parse(str(parse(url))) == parse(url)


def test_given_url_goes_before_the_environment() -> None:
    environment = {"JOBKIT_URL": "redis://environment"}
    assert locate("redis://given", environment=environment) == TcpLocation(host="given")
    assert locate(environment=environment) == TcpLocation(host="environment")


def test_a_wrong_url_of_the_environment_says_where_it_is_from() -> None:
    with pytest.raises(StoreMisconfigured, match=r"^JOBKIT_URL: The store's URL has no known scheme"):
        locate(environment={"JOBKIT_URL": "localhost"})


def test_store_lies_beside_the_nearest_project_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web process and a worker started in different folders of a project must find one store."""
    inside = tmp_path / "src" / "app"
    inside.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    expected = EmbeddedLocation(directory=tmp_path / ".jobkit")
    for folder in (tmp_path, inside):
        monkeypatch.chdir(folder)
        assert locate(environment={"JOBKIT_URL": ""}) == expected


def test_store_lies_in_the_working_directory_without_a_project(tmp_path: Path) -> None:
    if any((folder / "pyproject.toml").exists() for folder in tmp_path.parents):
        pytest.skip("the temporary directory lies in a project")
    assert default_directory(tmp_path) == tmp_path / ".jobkit"


def test_locations_are_values() -> None:
    assert parse("redis://h") == parse("redis://h:6379/0")
    assert len({parse("embedded:x"), parse(f"embedded:{os.getcwd()}/x")}) == 1  # noqa: PTH109
