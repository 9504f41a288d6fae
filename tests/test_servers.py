"""The rules of the test servers themselves."""

import pytest
import redis

from tests import servers


def test_missing_server_is_skipped_at_home() -> None:
    with pytest.raises(pytest.skip.Exception, match="redis-server is not installed: apt-get install"):
        servers.missing("redis-server", "apt-get install redis-server", environment={})


@pytest.mark.parametrize("value", ["true", "1"])
def test_missing_server_fails_in_ci(value: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="redis-server is not installed"):
        servers.missing("redis-server", "apt-get install redis-server", environment={"CI": value})


@pytest.mark.parametrize("fixture", ["own_server", "own_redis_server"])
def test_server_keeps_its_data_over_a_restart(fixture: str, request: pytest.FixtureRequest) -> None:
    server: servers.Server = request.getfixturevalue(fixture)
    with redis.Redis.from_url(server.tcp_url) as client:
        client.set("kept", "yes")
        server.restart()
        assert client.get("kept") == b"yes"


def test_paused_server_answers_again_when_resumed(own_server: servers.Server) -> None:
    with redis.Redis.from_url(own_server.url, socket_timeout=0.1, retry=None) as client:
        with own_server.paused(), pytest.raises(redis.TimeoutError):
            client.ping()
        assert client.ping()
