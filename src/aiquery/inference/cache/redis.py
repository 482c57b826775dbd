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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ANSWER = b"aiquery:answer:"
CLAIM = b"aiquery:claim:"
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
            self._db.ping()

    def find(self, keys: Sequence[bytes]) -> Found:
        """Implement ``Store``."""
        values: dict[bytes, bytes] = {}
        elsewhere: list[bytes] = []
        made_at: dict[bytes, float] = {}
        with self._failing():
            for some in split_keys(keys, KEYS_PER_QUERY):
                values.update(self._read(some, made_at))
                missing = [key for key in some if key not in values]
                claimed = self._claim(missing)
                theirs = [key for key in missing if key not in claimed]
                # Between reading and claiming, an answer may have been stored and its claim deleted.
                late = self._read(missing, made_at)
                values.update(late)
                self.release([key for key in claimed if key in late])
                elsewhere += [key for key in theirs if key not in late]
        return Found(values, elsewhere, made_at)

    def find_known(self, keys: Sequence[bytes]) -> list[bytes]:
        """Implement ``Store``."""
        with self._failing():
            return [
                key
                for some in split_keys(keys, KEYS_PER_QUERY)
                for key in self._read(some, {})
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
                sealed, endpoint, made_at = self._db.hmget(name, "v", "e", "t")
                value = unseal(key, sealed)
                moment = _moment(made_at)
                if value is not None and moment is not None:
                    yield Answer(
                        key, endpoint.decode("utf-8", "replace"), value, moment, moment
                    )

    def close(self) -> None:
        """Implement ``Store``."""
        self.release(list(self._claims))
        with self._failing():
            self._db.close()

    # ---

    def _read(
        self, keys: Sequence[bytes], made_at: dict[bytes, float]
    ) -> dict[bytes, bytes]:
        with self._db.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(ANSWER + key, "v", "t")
            found = pipe.execute()
        values = {}
        for key, (sealed, made) in zip(keys, found, strict=True):
            value = unseal(key, sealed)
            moment = _moment(made)
            if value is not None and moment is not None:
                values[key] = value
                made_at[key] = moment
        return values

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
        return None if text is None else float(text)
    except ValueError:
        return None
