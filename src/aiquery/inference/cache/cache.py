"""The cache of answers by request key: an equal request is sent once by all processes that share a store.

A bounded memory is in front of a store (SQLite, Redis) that a thread of its own writes in batches. An answer is handed
up after it was written, so that every visible answer survives kill -9. A failing store does not fail a query: answers
then stay in memory, with one warning, and are written once the store is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aiquery.errors import StoreFailed
from aiquery.inference.cache.backlog import Backlog, Unsaved
from aiquery.inference.cache.base import HEARTBEAT_S, Found
from aiquery.runtime.blocking_thread import BlockingThread
from aiquery.runtime.task_set import TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.inference.cache.base import Store

log = logging.getLogger("aiquery")

MEMORY_BYTES = 64 * 1024 * 1024
"""Size of the memory in front of a store. Without a store it is unbounded: a lost answer would be billed again."""

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
"""When a failed store is tried again, in seconds: twice as long each time."""

BACKLOG_BATCH = 1000
"""Answers of the backlog that are written together."""

FLUSH_S = 0.02
"""How long an answer may wait for others to be written together, in seconds."""

_OVERHEAD = 150


class LookUp(NamedTuple):
    """Result of a look-up: values by key, keys that another process requests, and when values were stored."""

    values: dict[bytes, object]
    elsewhere: list[bytes]
    made_at: dict[bytes, float]


class AnswerCache:
    """The answers of one client; errors are not cached. Touched on the loop thread only."""

    def __init__(
        self,
        open_store: Callable[[], Store] | None = None,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Open nothing yet.

        open_store  called on the store's thread when the first answer is looked up
        on_crash    called after an unexpected error: callbacks of ``store`` may never be called
        """
        self._tasks = TaskSet("answer cache", on_crash)
        self._memory: OrderedDict[bytes, tuple[bytes, int, int]] = OrderedDict()
        self._bytes = 0
        self._open_store = open_store
        self._store: Store | None = None
        self._thread: BlockingThread | None = None
        self._unsaved: list[Unsaved] = []
        self._callbacks: list[tuple[int, Callable[[], None]]] = []
        self._released: list[bytes] = []
        self._backlog = Backlog()
        self._away_s = 0.0  # 0: the store is there
        self._retry_at = 0.0
        self._has_unreadable = False
        self._writing: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.TimerHandle | None = None

    @property
    def durable(self) -> bool:
        """True if there is a store behind the memory."""
        return self._open_store is not None

    def __contains__(self, key: bytes) -> bool:
        """Return True if the answer is in memory."""
        return key in self._memory

    def __getitem__(self, key: bytes) -> object:
        """Return the value of an answer in memory; a value may be None."""
        encoded, _, _ = self._memory[key]
        self._memory.move_to_end(key)
        return msgspec.json.decode(encoded)

    def mark_read(self, key: bytes, reader_id: int) -> bool:
        """Mark an answer in memory as read by ``reader_id``; return True if that run had not seen it. 0: untracked."""
        encoded, size, last_reader_id = self._memory[key]
        if reader_id and reader_id == last_reader_id:
            return False
        self._memory[key] = (encoded, size, reader_id)
        return True

    async def find(
        self,
        keys: Sequence[bytes],
        reader_id: int,
        is_answer: Callable[[bytes, object], bool],
    ) -> LookUp:
        """Look keys up in the store, and claim those that are not there.

        reader_id  see ``mark_read``
        is_answer  returns whether a value of the store can be the answer of a key; any other one is missing
        """
        found = await self._on_store(lambda store: store.find(keys), Found({}, [], {}))
        values = {}
        for key, encoded in found.values.items():
            try:
                value = msgspec.json.decode(encoded)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # damaged: it is requested again and overwritten
            if not is_answer(key, value):
                continue
            values[key] = value
            self._remember(key, encoded, reader_id)
        self._report_unreadable(found.unreadable + len(found.values) - len(values))
        return LookUp(values, found.elsewhere, found.made_at)

    async def find_known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return the keys that have an answer, in memory or in the store. Claims nothing."""
        here = {key for key in keys if key in self._memory}
        rest = [key for key in keys if key not in here]
        return here | set(
            await self._on_store(lambda store: store.find_known(rest), ())
        )

    def store(
        self,
        key: bytes,
        endpoint: str,
        value: object,
        reader_id: int,
        *,
        then: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        """Store an answer and call ``then`` when it is written, or when the store is away.

        ``lost`` is called if the store never gets it.
        """
        encoded = msgspec.json.encode(value)
        if self._open_store is None:
            self._remember(key, encoded, reader_id)
            then()
            return
        self._unsaved.append(Unsaved(key, endpoint, encoded, lost))
        self._callbacks.append((reader_id, then))
        self._write_soon()

    def release(self, key: bytes) -> None:
        """Give up the claim on an answer that will not come from this process."""
        if self._open_store is not None:
            self._released.append(key)
            self._write_soon()

    async def close(self) -> None:
        """Write the answers that are left and close the store."""
        while self._writing is not None:
            await self._writing
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        if len(self._backlog):
            self._retry_at = 0.0
            await self._write_backlog()
        self._backlog.drop_all()
        if self._backlog.lost:
            log.warning(
                "%s answers were not stored: the store was away for too long",
                f"{self._backlog.lost:,}",
            )
        if self._store is not None:
            self._retry_at = 0.0
            await self._on_store(lambda store: store.close(), None)
        if self._thread is not None:
            self._thread.stop()
        self._open_store = self._store = self._thread = None

    # ---

    def _report_unreadable(self, count: int) -> None:
        if count and not self._has_unreadable:
            self._has_unreadable = True
            log.warning(
                "%s stored answers are damaged, or aiquery did not write them; they are requested again, like all such "
                "answers",
                f"{count:,}",
            )

    def _remember(self, key: bytes, encoded: bytes, reader_id: int) -> None:
        size = len(encoded) + _OVERHEAD
        old = self._memory.pop(key, None)
        self._memory[key] = (encoded, size, reader_id)
        self._bytes += size - (old[1] if old else 0)
        is_bounded = self._open_store is not None and not self._away_s
        while is_bounded and self._bytes > MEMORY_BYTES and len(self._memory) > 1:
            self._bytes -= self._memory.popitem(last=False)[1][1]

    def _write_soon(self) -> None:
        if self._writing is None:
            self._writing = self._tasks.spawn(self._write())

    async def _write(self) -> None:
        try:
            await self._write_all()
        finally:
            self._writing = None

    async def _write_all(self) -> None:
        """Write answers until none is left; callbacks are called even if the store cannot be used."""
        await asyncio.sleep(FLUSH_S)
        while self._unsaved or self._released:
            unsaved = self._unsaved
            callbacks = self._callbacks
            released = self._released
            self._unsaved = []
            self._callbacks = []
            self._released = []
            if unsaved and not await self._save(unsaved):
                self._backlog.add(unsaved)
            for answer, (reader_id, then) in zip(unsaved, callbacks, strict=True):
                # Not before it is safe: an answer in memory is handed up at once.
                self._remember(answer.key, answer.value, reader_id)
                then()
            if released:
                await self._on_store(partial(_release, keys=released), None)
            if self._unsaved and len(self._unsaved) < len(unsaved):
                await asyncio.sleep(FLUSH_S)

    async def _save(self, answers: list[Unsaved]) -> bool:
        def save(store: Store) -> bool:
            store.save([answer[:3] for answer in answers])
            return True

        saved: bool = await self._on_store(save, False)  # noqa: FBT003
        return saved

    async def _write_backlog(self) -> None:
        """Write the answers that waited for the store."""
        while some := self._backlog.take(BACKLOG_BATCH):
            if not await self._save(some):
                self._backlog.add(some)
                return

    async def _on_store(self, use: Callable[[Store], Any], otherwise: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._open_store is None or loop.time() < self._retry_at:
            return otherwise
        if self._thread is None:
            self._thread = BlockingThread("aiquery-answers")
            self._heartbeat = loop.call_later(HEARTBEAT_S, self._send_heartbeat)
        try:
            result = await self._thread.run(lambda: self._use(use))
        except StoreFailed as error:
            self._pause_store(error)
            return otherwise
        except Exception as error:
            log.exception("the store of answers failed unexpectedly")
            self._pause_store(error)
            return otherwise
        self._resume_store()
        return result

    def _use(self, use: Callable[[Store], Any]) -> Any:
        if self._store is None:
            if self._open_store is None:
                raise StoreFailed("closed")
            self._store = self._open_store()
        return use(self._store)

    def _pause_store(self, error: Exception) -> None:
        """Stop using the store for a while."""
        if not self._away_s:
            log.warning(
                "answers stay in memory until their store can be used again: %s", error
            )
        self._away_s = min(max(2 * self._away_s, FIRST_RETRY_S), LAST_RETRY_S)
        self._retry_at = asyncio.get_running_loop().time() + self._away_s

    def _resume_store(self) -> None:
        if self._away_s:
            self._away_s = 0.0
            log.warning(
                "the store of answers can be used again; %s answers wait to be written",
                f"{len(self._backlog):,}",
            )
            if len(self._backlog):
                self._tasks.spawn(self._write_backlog())

    def _send_heartbeat(self) -> None:
        """Renew the claims; that also detects that a store is back."""
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(HEARTBEAT_S, self._send_heartbeat)
        self._tasks.spawn(self._on_store(lambda store: store.keep_claims(), None))


def _release(store: Store, keys: list[bytes]) -> None:
    store.release(keys)
