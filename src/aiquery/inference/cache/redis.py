"""A store of answers in Redis, for several machines (extra ``redis``).

Redis itself expires answers, and limits their size: ``maxmemory`` with ``maxmemory-policy allkeys-lru``.

``aiquery:answer:KEY`` is a hash with endpoint, value and the time it was stored; ``aiquery:claim:KEY`` names the
process that requests the answer now, and expires unless that process renews it.
"""

from __future__ import annotations

import importlib.util
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiquery.errors import ConfigError, MissingExtra, StoreFailed
from aiquery.inference.cache.base import (
    DEAD_S,
    Answer,
    Found,
    Statistics,
    seal,
    split_keys,
    unseal,
)
from aiquery.runtime.processes import new_owner
from aiquery.runtime.sqlite_file import is_moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ANSWER = b"aiquery:answer:"
CLAIM = b"aiquery:claim:"
VERSION = b"aiquery:version"
"""The key of the version of the answers' form."""

FORM = 1
KEYS_PER_QUERY = 1000
TIMEOUT_S = 5.0


class RedisStore:
    """A ``Store`` in Redis. Failures raise ``StoreFailed``."""

    def __init__(self, url: str, *, ttl_s: float | None = None) -> None:
        """``url`` is ``redis://[user:password@]host:port/db``; it is never part of an error."""
        check_redis(url)
        import redis

        self._errors = redis.RedisError
        self._ttl_s = ttl_s
        self._owner = new_owner().encode()
        self._claims: set[bytes] = set()
        with self._failing():
            self._db: Any = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
            )
            self._check_version()

    def find(self, keys: Sequence[bytes]) -> Found:
        """Implement ``Store``."""
        values: dict[bytes, bytes] = {}
        elsewhere: list[bytes] = []
        made_at: dict[bytes, float] = {}
        unreadable = 0
        with self._failing():
            for some in split_keys(keys, KEYS_PER_QUERY):
                found, damaged = self._read(some, made_at)
                values.update(found)
                unreadable += damaged
                missing = [key for key in some if key not in values]
                claimed = self._claim(missing)
                theirs = [key for key in missing if key not in claimed]
                # Between reading and claiming, an answer may have been stored and its claim deleted.
                late, _ = self._read(missing, made_at)
                values.update(late)
                self.release([key for key in claimed if key in late])
                waited_for = [key for key in theirs if key not in late]
                self._limit_claims(waited_for)
                elsewhere += waited_for
        return Found(values, elsewhere, made_at, unreadable)

    def find_known(self, keys: Sequence[bytes]) -> list[bytes]:
        """Implement ``Store``."""
        with self._failing():
            return [
                key
                for some in split_keys(keys, KEYS_PER_QUERY)
                for key in self._read(some, {})[0]
            ]

    def save(self, answers: Sequence[tuple[bytes, str, bytes]]) -> None:
        """Implement ``Store``."""
        now = time.time()
        with self._failing(), self._db.pipeline(transaction=False) as pipe:
            for key, endpoint, value in answers:
                pipe.hset(
                    ANSWER + key,
                    mapping={"v": seal(key, value), "e": endpoint, "t": repr(now)},
                )
                if self._ttl_s is not None:
                    pipe.pexpire(ANSWER + key, int(self._ttl_s * 1000))
                pipe.delete(CLAIM + key)
            pipe.execute()
        self._claims.difference_update(key for key, _, _ in answers)

    def release(self, keys: Sequence[bytes]) -> None:
        """Implement ``Store``."""
        mine = [key for key in keys if key in self._claims]
        self._claims.difference_update(mine)
        with self._failing():
            for some in split_keys(mine, KEYS_PER_QUERY):
                self._db.delete(*(CLAIM + key for key in some))

    def keep_claims(self) -> None:
        """Implement ``Store``."""
        with self._failing(), self._db.pipeline(transaction=False) as pipe:
            for key in self._claims:
                pipe.pexpire(CLAIM + key, int(DEAD_S * 1000))
            pipe.execute()

    def statistics(self) -> Statistics:
        """Return the number of answers, and the bytes of their keys and values."""
        by_endpoint: dict[str, int] = {}
        size = 0
        for answer in self.export():
            by_endpoint[answer.endpoint] = by_endpoint.get(answer.endpoint, 0) + 1
            size += len(answer.key) + len(answer.value)
        return Statistics(sum(by_endpoint.values()), size, by_endpoint)

    def prune(self) -> int:
        """Do nothing: Redis expires and evicts answers by itself."""
        return 0

    def clear(self) -> int:
        """Implement ``Store``."""
        count = 0
        with self._failing():
            for name in self._db.scan_iter(match=ANSWER + b"*", count=KEYS_PER_QUERY):
                count += self._db.delete(name)
        return count

    def export(self) -> Iterator[Answer]:
        """Implement ``Store``."""
        with self._failing():
            for name in self._db.scan_iter(match=ANSWER + b"*", count=KEYS_PER_QUERY):
                key = name[len(ANSWER) :]
                if self._db.type(name) != b"hash":
                    continue
                sealed, endpoint, made_at = self._db.hmget(name, "v", "e", "t")
                value = unseal(key, sealed)
                moment = _moment(made_at)
                if value is not None and moment is not None:
                    shown = (endpoint or b"").decode("utf-8", "replace")
                    yield Answer(key, shown, value, moment, moment)

    def close(self) -> None:
        """Implement ``Store``."""
        self.release(list(self._claims))
        with self._failing():
            self._db.close()

    # ---

    def _read(
        self, keys: Sequence[bytes], made_at: dict[bytes, float]
    ) -> tuple[dict[bytes, bytes], int]:
        """Return values by key, and the number of unreadable answers, which it deletes."""
        with self._db.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(ANSWER + key, "v", "t")
            found = pipe.execute(raise_on_error=False)
        values = {}
        unreadable = []
        for key, fields in zip(keys, found, strict=True):
            if fields == [None, None]:
                continue
            answer = None
            if isinstance(fields, list):
                answer = unseal(key, fields[0])
                moment = _moment(fields[1])
            elif not str(fields).startswith("WRONGTYPE"):
                raise fields
            if answer is None or moment is None:
                unreadable.append(ANSWER + key)
                continue
            values[key] = answer
            made_at[key] = moment
        if unreadable:
            self._db.delete(*unreadable)
        return values, len(unreadable)

    def _claim(self, keys: Sequence[bytes]) -> set[bytes]:
        with self._db.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.set(CLAIM + key, self._owner, nx=True, px=int(DEAD_S * 1000))
            claimed = {
                key
                for key, made in zip(keys, pipe.execute(), strict=True)
                if made or key in self._claims
            }
        self._claims |= claimed
        return claimed

    def _limit_claims(self, keys: Sequence[bytes]) -> None:
        """Let claims expire that would stay for ever: only another program makes such."""
        with self._db.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.pttl(CLAIM + key)
            times = pipe.execute()
        for key, left_ms in zip(keys, times, strict=True):
            if not -1 < left_ms <= DEAD_S * 1000:
                self._db.pexpire(CLAIM + key, int(DEAD_S * 1000))

    def _check_version(self) -> None:
        """Write the version of the answers' form. Raises ``StoreFailed`` if they have a newer one."""
        self._db.set(VERSION, FORM, nx=True)
        found = self._db.get(VERSION) or b""
        if not found.isdigit() or int(found) > FORM:
            raise StoreFailed(
                f"Redis: a newer version of aiquery wrote these answers ({VERSION.decode()} is "
                f"{found[:20].decode('utf-8', 'replace')!r}, and this version reads up to {FORM}). Update aiquery, or "
                "choose another database."
            )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (self._errors, OSError) as error:
            raise StoreFailed(f"Redis: {type(error).__name__}: {error}") from error


def check_redis(url: str) -> None:
    """Check extra and URL of Redis. Raises ``MissingExtra``, or ``ConfigError`` for a URL that cannot be read."""
    if importlib.util.find_spec("redis") is None:
        raise MissingExtra(
            "answers in Redis need the extra: pip install 'aiquery[redis]'"
        )
    try:
        parts = urlsplit(url)
        readable = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        readable = False
    if not readable:
        raise ConfigError(
            "[cache] store: the URL of Redis cannot be read; it is redis://[user:password@]host:port/db, and "
            "a / : @ ? # or % in the password is written as %2F %3A %40 %3F %23 or %25."
        )


def _moment(text: bytes | None) -> float | None:
    try:
        moment = float(text or b"")
    except ValueError:
        return None
    return moment if is_moment(moment) else None
