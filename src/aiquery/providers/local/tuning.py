"""The numbers of threads and slots that are fastest for a model on this machine.

They are measured when a model is used for the first time, which takes a few seconds, and stored in the
folder ``tuning`` of the cache. Delete the folder to measure again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from aiquery.config.environment import cache_folder
from aiquery.errors import RequestFailed
from aiquery.providers.local.forked import can_unload
from aiquery.providers.local.gguf_file import count_state_bytes, read_gguf
from aiquery.providers.local.llama_server import (
    GPU_RESERVE,
    list_devices,
    list_gpus,
    uses_gpu,
)
from aiquery.providers.local.speed_test import SpeedTest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.providers.local.llama_server import ModelSettings

log = logging.getLogger("aiquery")

SLOTS = 8
"""Slots where nothing is measured."""

BUDGET_S = 5.0
"""No measurement begins later than so many seconds after the first one."""

ROW_PROMPT = 100
ROW_ANSWER = 20
"""Tokens of a usual row that a slot reads and writes, without those that all rows share."""

SLOW = 100.0
"""Tokens per second. If a model reads fewer, that takes most of the time, and more slots do not help."""

WORTHWHILE = 1.1
"""Another number has to be so many times as fast as the usual one: a measurement is not exact."""

CPU_SLOTS = (SLOTS, 16)
"""What is tried, in this order. A CPU gains little from more: 1.63 rows/s with 16 slots, 1.66 with 32."""

GPU_SLOTS = (32, 64, 16, SLOTS)
"""A GPU reads its weights once for all slots. Tokens/s with 8, 32 and 64 slots on an H200: 1,030, 1,760 and 1,880 of a
model with 7 billion parameters; 336 and 797 (32) of one with 32 billion."""

_FEW_SLOTS = (4, 2, 1)
"""For a GPU without room for ``SLOTS``."""

_MANY_CORES = 8
"""From here a quarter of the cores is tried too: the threads of a small model wait for each other."""

MEMORY_SHARE = 0.25
"""The slots take this share of the free memory at most."""

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of all cores, and in how many microseconds. docs.kernel.org/admin-guide/cgroup-v2.html"""

_lock = threading.Lock()
"""One measurement at a time."""


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Another thread of the parent may hold the lock, and does not exist in the child.
    os.register_at_fork(after_in_child=_renew_lock)


class Tuning(msgspec.Struct, frozen=True):
    """The fastest numbers of threads and slots, and the seconds that a usual row takes with them."""

    threads: int
    slots: int
    seconds_per_row: float


class Measurable(Protocol):
    """A model that is loaded with some number of threads. See ``SpeedTest``."""

    def measure_reading(self) -> float:
        """Return tokens per second."""

    def measure_writing(self, slots: int) -> float:
        """Return tokens per second."""

    def close(self) -> None:
        """Unload the model."""


def tune(settings: ModelSettings, *, threads: bool, slots: bool) -> ModelSettings:
    """Return the settings with the fastest number of threads, of slots, or of both.

    Raises ``ModelFileError`` if the model cannot be loaded.
    """
    devices = list_devices()
    # A GPU has no use for threads; to try them loads the model three times more.
    try_threads = threads and not uses_gpu(settings, devices)
    thread_counts = (
        list_thread_counts(count_cores()) if try_threads else [settings.threads]
    )
    slot_counts = list_slot_counts(settings, devices) if slots else [settings.slots]
    names = [device["description"] for device in devices]
    key = repr((settings, settings.path.stat().st_size, names, thread_counts))
    digest = hashlib.sha256(f"{key} {slot_counts}".encode()).hexdigest()[:16]
    path = cache_folder() / "tuning" / f"{settings.path.stem}.{digest}.json"
    usual = replace(settings, threads=thread_counts[0], slots=slot_counts[0])
    if len(thread_counts) == len(slot_counts) == 1:
        return usual
    with _lock:
        found = _read(path)
        if found is None and not can_unload():
            return usual
        if found is None:
            most = max(slot_counts)
            plain = replace(settings, mmproj=None, lora=())
            try:
                found = choose(
                    lambda count: SpeedTest(replace(plain, threads=count, slots=most)),
                    thread_counts,
                    slot_counts,
                )
            except RequestFailed as error:
                log.debug("%s could not be measured: %s", settings.path.name, error)
                return usual
            log.debug("%s is fastest with %s", settings.path.name, found)
            _store(path, found)
    return replace(settings, threads=found.threads, slots=found.slots)


def choose(
    start: Callable[[int], Measurable],
    thread_counts: Sequence[int],
    slot_counts: Sequence[int],
    clock: Callable[[], float] = time.monotonic,
) -> Tuning:
    """Return the best of some numbers of threads and slots. The first ones are measured in any case.

    ``start`` loads the model with a number of threads.
    """
    usual = slot_counts[0]
    threads = thread_counts[0]
    deadline = clock() + BUDGET_S
    if len(thread_counts) > 1:
        by_threads: dict[int, float] = {}
        readings: dict[int, float] = {}
        for count in thread_counts:
            if by_threads and clock() > deadline:
                break
            with closing(start(count)) as model:
                readings[count] = model.measure_reading()
                by_threads[count] = _measure_row(model, readings[count], usual)
        threads = pick(by_threads)
        if clock() > deadline or readings[threads] < SLOW:
            return Tuning(threads, usual, by_threads[threads])
    by_slots: dict[int, float] = {}
    with closing(start(threads)) as model:
        if len(thread_counts) == 1:
            deadline = clock() + BUDGET_S  # a large model is loaded for longer
        reading = model.measure_reading()
        for count in slot_counts:
            if by_slots and (clock() > deadline or reading < SLOW):
                break
            by_slots[count] = _measure_row(model, reading, count)
    slots = pick(by_slots)
    return Tuning(threads, slots, by_slots[slots])


def _measure_row(model: Measurable, reading: float, slots: int) -> float:
    """Return the seconds that a usual row takes."""
    seconds = ROW_PROMPT / reading
    if reading >= SLOW:
        seconds += ROW_ANSWER / model.measure_writing(slots)
    return seconds


def pick(seconds: dict[int, float]) -> int:
    """Return the first number, unless another one is clearly faster."""
    usual = next(iter(seconds))
    best = min(seconds, key=seconds.__getitem__)
    return best if seconds[usual] > WORTHWHILE * seconds[best] else usual


def list_thread_counts(cores: int) -> list[int]:
    """Return the numbers to try: half of the cores, as two of them often share a unit, all, and a quarter."""
    usual = default_threads(cores)
    few = cores // 4 if cores >= _MANY_CORES else usual
    return list(dict.fromkeys([usual, cores, few]))


def list_slot_counts(
    settings: ModelSettings, devices: Sequence[dict[str, Any]]
) -> list[int]:
    """Return the numbers to try: those whose states fit into the memory, and at least the usual one."""
    state = settings.context * count_state_bytes(read_gguf(settings.path))
    if uses_gpu(settings, devices):
        # The slots share the GPU with the weights. A model that is not there as a whole is many times slower.
        gpus = [gpu["memory_free"] - GPU_RESERVE for gpu in list_gpus(devices)]
        free = sum(gpus) - settings.path.stat().st_size
        fitting = [count for count in GPU_SLOTS if count * state <= free]
        few = next((count for count in _FEW_SLOTS if count * state <= free), SLOTS)
        return fitting or [few]
    free = MEMORY_SHARE * min(device["memory_free"] for device in devices)
    return [count for count in CPU_SLOTS if count <= SLOTS or count * state <= free]


def count_cores() -> int:
    """Return the cores that this process may use: its own, or those of its container."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_QUOTA.read_text("ascii").split()
    except (OSError, ValueError):
        return cores
    # The file has the word "max" where there is no quota.
    return min(cores, -(-int(quota) // int(period))) if quota.isdecimal() else cores


def default_threads(cores: int) -> int:
    """Return half the cores, but at least two if there are two."""
    return max(min(cores, 2), cores // 2)


def _read(path: Path) -> Tuning | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tuning)
    except (OSError, msgspec.MsgspecError):
        return None


def _store(path: Path, tuning: Tuning) -> None:
    """Store a result, whole or not at all. Without room on the disk it is measured again."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.encode(tuning))
        part.replace(path)
    except OSError as error:
        log.warning("the fastest settings of a model could not be stored: %s", error)
