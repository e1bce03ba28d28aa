"""What the store leaves in a real Redis, and the ways to reach one."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from redis_server import RedisServer, begun, free_port, running
from roadworthy.cache.record import Entry, encode
from roadworthy.cache.redis import RedisStore
from roadworthy.cache.store import Change, StoreDown, StoreRefused, Write
from unit.redis.scripted import until

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT = timedelta(seconds=60)


@pytest.fixture
def service() -> str:
    """A service's name that no other test has."""
    return f"shop-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def store(redis_server: RedisServer, service: str) -> AsyncIterator[RedisStore]:
    await begun(redis_server.url, service)
    async with RedisStore.open(redis_server.url, service=service, node=1, timeout=TIMEOUT) as opened:
        yield opened


def _write(name: str, stamp: int, tombstone: bool = False) -> Write:
    record = encode(Entry(b"value", stamp, 2e9, 2e9, tombstone=tombstone))
    return Write(name, record, stamp, 60.0, "delete" if tombstone else "set")


async def test_everything_that_is_kept_but_the_epoch_expires(
    redis_server: RedisServer, store: RedisStore, service: str
) -> None:
    await store.write([_write("a", 5), _write("b", 5, tombstone=True)])
    await store.invalidate(["t", "u"], lifetime=60)
    await store.invalidate(["u"], lifetime=60, stamp=7)
    await store.acquire("a", "me", 60)
    keys = await redis_server.execute("KEYS", f"{service}:*")
    assert isinstance(keys, list)
    keys.remove(f"{service}:cache:v1:epoch".encode())
    assert sorted(keys) == [
        f"{service}:cache:v1:{key}".encode() for key in ("lock:a", "record:a", "record:b", "tag:t", "tag:u")
    ]
    for key in keys:
        remaining = await redis_server.execute("PTTL", key.decode())
        assert isinstance(remaining, int)
        assert 50_000 < remaining <= 60_000


async def test_a_tag_is_remembered_as_long_as_the_longest_lifetime_asks(
    redis_server: RedisServer, store: RedisStore, service: str
) -> None:
    await store.invalidate(["t"], lifetime=60)
    await store.invalidate(["t"], lifetime=1)
    remaining = await redis_server.execute("PTTL", f"{service}:cache:v1:tag:t")
    assert isinstance(remaining, int)
    assert remaining > 50_000


async def test_a_server_that_forgot_its_scripts_is_told_them_again(
    redis_server: RedisServer, store: RedisStore
) -> None:
    for stamp in (5, 6):
        await redis_server.execute("SCRIPT", "FLUSH")
        assert await store.write([_write("a", stamp)]) == [True]
        assert await store.invalidate(["t"], lifetime=60) > 0
        assert await store.acquire("a", "me", 60)
        await redis_server.execute("SCRIPT", "FLUSH")
        assert await store.release("a", "me")


async def test_a_key_of_another_kind_is_no_record_and_is_written_over(
    redis_server: RedisServer, store: RedisStore, service: str
) -> None:
    for kind in ("record:a", "tag:t"):
        await redis_server.execute("HSET", f"{service}:cache:v1:{kind}", "field", "value")
    with pytest.raises(StoreRefused, match="WRONGTYPE"):
        await store.get("a")
    assert await store.get_many(["a"]) == [None]
    assert await store.write([_write("a", 5)]) == [True]
    assert await store.get("a") == _write("a", 5).record
    stamp = await store.invalidate(["t"], lifetime=60)
    assert await store.tag_stamps(["t"]) == [stamp]


async def test_services_and_databases_hear_nothing_of_each_other(redis_server: RedisServer, service: str) -> None:
    heard: dict[str, list[Change]] = {}
    others = {"own": (service, 0), "database": (service, 1), "service": (f"{service}-2", 0)}
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()
        ready = asyncio.Semaphore(0)

        async def listen(who: str, named: str, database: int) -> None:
            url = redis_server.url.removesuffix("0") + str(database)
            await begun(url, named)
            async with RedisStore.open(url, service=named, node=database, timeout=TIMEOUT) as store:
                changes = heard.setdefault(who, [])
                async with store.listening(changes.append, lambda: None):
                    ready.release()
                    await done.wait()
                    await store.write([_write(who, 5)])
                    await until(lambda: changes)

        for who, (named, database) in others.items():
            group.create_task(listen(who, named, database))
        for _ in others:
            await ready.acquire()
        done.set()
    assert {who: [change.name for change in changes] for who, changes in heard.items()} == {
        who: [who] for who in others
    }


async def test_changes_of_one_batch_come_in_one_message(redis_server: RedisServer, store: RedisStore) -> None:
    before = await _published(redis_server)
    heard: list[Change] = []
    async with store.listening(heard.append, lambda: None):
        await store.write([_write(f"k{n}", 5) for n in range(100)])
        await store.invalidate([f"t{n}" for n in range(100)], lifetime=60)
        await until(lambda: len(heard) == 200)
    assert await _published(redis_server) - before == 2
    assert {change.action for change in heard} == {"set", "tag"}


async def test_a_message_that_cannot_be_read_is_taken_for_a_gap(
    redis_server: RedisServer, store: RedisStore, service: str
) -> None:
    heard: list[Change | None] = []
    async with store.listening(heard.append, lambda: heard.append(None)):
        await redis_server.execute("PUBLISH", f"{service}:cache:v1:changes:0", "hello")
        await store.write([_write("a", 5)])
        await until(lambda: len(heard) == 3)
    assert heard == [None, None, Change("set", "a", 5, 1)]


async def _published(server: RedisServer) -> int:
    statistics = await server.execute("INFO", "commandstats")
    assert isinstance(statistics, bytes)
    lines = dict(line.split(":", 1) for line in statistics.decode().split("\r\n") if ":" in line)
    return int(lines.get("cmdstat_publish", "calls=0,").split(",")[0].removeprefix("calls="))


async def test_much_is_written_in_parts(store: RedisStore) -> None:
    large = [Write(f"large-{n}", encode(Entry(b"x" * 300_000, 5, 2e9, 2e9)), 5, 60.0) for n in range(10)]
    small = [_write(f"small-{n}", 5) for n in range(1200)]
    assert await store.write([*large, *small]) == [True] * 1210
    records = await store.get_many([write.name for write in [*large, *small]])
    assert records == [write.record for write in [*large, *small]]


async def test_an_acquisition_that_was_cancelled_holds_nothing(store: RedisStore) -> None:
    for turns in range(6):
        task = asyncio.create_task(store.acquire("a", f"gone-{turns}", 60))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            assert await store.acquire("a", "me", 60)
            assert await store.release("a", "me")


async def test_a_socket_and_a_password_will_do(service: str) -> None:
    async with running() as server:
        await server.execute("CONFIG", "SET", "requirepass", "s@crit")
        path = server.socket_url.removeprefix("unix://").partition("?")[0]
        for url in (f"unix://:s%40crit@{path}?db=3", f"redis://default:s%40crit@127.0.0.1:{server.port}/3"):
            await begun(url, service)
            async with RedisStore.open(url, service=service, node=1, timeout=TIMEOUT) as store:
                assert await store.write([_write("a", 5)]) == [True]
        async with RedisStore.open(
            f"redis://:wrong@127.0.0.1:{server.port}", service=service, node=1, timeout=TIMEOUT
        ) as store:
            with pytest.raises(StoreDown, match="WRONGPASS") as refused:
                await store.get("a")
            assert "wrong@" not in str(refused.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "certificate.pem", directory / "key.pem"


@asynccontextmanager
async def _encrypted(certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    """The host and port of a server that speaks TLS."""
    signed, key = map(str, certificate)
    options = (
        "--tls-cert-file",
        signed,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        signed,
        "--tls-auth-clients",
        "no",
    )
    async with running(*options) as server:
        await server.execute("CONFIG", "SET", "tls-port", str(free_port()))
        tls = await server.execute("CONFIG", "GET", "tls-port")
        assert isinstance(tls, list)
        yield f"127.0.0.1:{int(tls[1])}"


async def test_tls_is_spoken_with_who_can_be_trusted(certificate: tuple[Path, Path], service: str) -> None:
    async with _encrypted(certificate) as place:
        for option in (f"ssl_ca_certs={certificate[0]}", "ssl_cert_reqs=none"):
            url = f"rediss://{place}/0?{option}"
            await begun(url, service)
            async with RedisStore.open(url, service=service, node=1, timeout=TIMEOUT) as store:
                await store.write([_write("a", 5)])
                values = await asyncio.gather(*(store.get("a") for _ in range(1000)))
                assert set(values) == {_write("a", 5).record}
        async with RedisStore.open(f"rediss://{place}/0", service=service, node=1, timeout=TIMEOUT) as store:
            with pytest.raises(StoreDown, match="certificate"):
                await store.get("a")


@pytest.mark.parametrize(("policy", "warnings"), [("allkeys-lru", 1), ("volatile-lru", 1), ("volatile-ttl", 0)])
async def test_a_server_that_may_forget_invalidations_is_told_of(policy: str, warnings: int, service: str) -> None:
    async with running("--maxmemory", "100mb", "--maxmemory-policy", policy) as server:
        with structlog.testing.capture_logs() as lines:
            async with RedisStore.open(server.url, service=service, node=1, timeout=TIMEOUT):
                pass
    assert sum("may forget an invalidation" in line["event"] for line in lines) == warnings
