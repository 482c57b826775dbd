"""The numbers of threads and slots: what is measured, what is chosen, and that it is measured once."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

import aiquery
from aiquery.config.settings import Config
from aiquery.errors import RequestFailed
from aiquery.providers.local import forked, tuning
from aiquery.providers.local import settings as local_settings
from aiquery.providers.local.gguf_file import read_gguf
from aiquery.providers.local.llama_server import LlamaServer
from aiquery.providers.local.model_file import find_model
from aiquery.providers.local.settings import read_settings
from aiquery.providers.local.speed_test import SpeedTest
from aiquery.providers.local.tuning import (
    BUDGET_S,
    CPU_SLOTS,
    GPU_SLOTS,
    choose,
    count_cores,
    count_state_bytes,
    list_slot_counts,
    list_thread_counts,
    pick,
)

MODEL = "smollm2-135m-instruct"
CPU = {"type": SimpleNamespace(name="GGML_BACKEND_DEVICE_TYPE_CPU"), "memory_free": 2**36}
GPU = {"type": SimpleNamespace(name="GGML_BACKEND_DEVICE_TYPE_GPU"), "memory_free": 2**36}


class Machine:
    """A machine in virtual time whose best number of threads is ``best_threads``."""

    def __init__(self, best_threads, writing, seconds=0.5, speed=400):
        self.best_threads = best_threads
        self.writing = writing
        self.seconds = seconds
        self.speed = speed
        self.now = 0.0
        self.loads = []
        self.loaded = 0

    def start(self, threads):
        self.loads.append(threads)
        self.loaded += 1
        return LoadedModel(self, threads)

    def clock(self):
        return self.now


class LoadedModel:
    def __init__(self, machine, threads):
        self.machine = machine
        best = machine.best_threads
        self.share = min(threads, best) / max(threads, best)

    def measure_reading(self):
        self.machine.now += self.machine.seconds
        return self.machine.speed * self.share

    def measure_writing(self, slots):
        self.machine.now += self.machine.seconds
        return self.machine.writing[slots] * self.share

    def close(self):
        self.machine.loaded -= 1


WRITING = {8: 200, 16: 210}


@pytest.mark.parametrize("best", [4, 8, 16])
def test_the_fastest_number_of_threads_is_chosen(best):
    machine = Machine(best, WRITING)
    assert choose(machine.start, [8, 16, 4], [8], machine.clock).threads == best
    assert machine.loaded == 0


@pytest.mark.parametrize(
    ("writing", "slots"),
    [({8: 200, 16: 210}, 8), ({8: 200, 16: 400}, 16), ({8: 200, 16: 100}, 8)],
)
def test_more_slots_have_to_be_worthwhile(writing, slots):
    machine = Machine(2, writing)
    assert choose(machine.start, [2], CPU_SLOTS, machine.clock).slots == slots
    assert machine.loads == [2]


def test_a_slow_model_is_measured_no_more_than_necessary():
    machine = Machine(8, WRITING, seconds=BUDGET_S + 1)
    tuned = choose(machine.start, [8, 16, 4], CPU_SLOTS, machine.clock)
    assert (tuned.threads, tuned.slots) == (8, 8)
    assert machine.loads == [8]


def test_a_model_that_reads_slowly_writes_nothing_to_be_measured():
    machine = Machine(4, {}, speed=20)
    tuned = choose(machine.start, [8, 4], CPU_SLOTS, machine.clock)
    assert (tuned.threads, tuned.slots) == (4, 8)
    assert machine.loads == [8, 4]


def test_another_number_has_to_be_clearly_faster_than_the_first():
    assert pick({8: 1.0, 16: 0.98, 4: 0.95}) == 8
    assert pick({8: 1.0, 16: 0.8, 4: 0.7}) == 4
    assert pick({8: 1.0}) == 8


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (2, [2]), (4, [2, 4]), (16, [8, 16, 4]), (128, [64, 128, 32])])
def test_the_threads_that_are_tried(cores, counts):
    assert list_thread_counts(cores) == counts


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Return the untuned settings of the packaged model; what is measured is stored in a new folder."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(tuning, "cache_folder", lambda: tmp_path)
    endpoint = {"provider": "local", "model": MODEL, "options": {"slots": 8, "threads": 2}}
    return read_settings(Config({"endpoints": {"e": endpoint}}).endpoint("e"))


@pytest.mark.local_model
def test_the_slots_that_are_tried_fit_into_the_memory(settings):
    assert count_state_bytes(read_gguf(find_model(MODEL))) == 30 * 3 * (64 + 64) * 2
    assert list_slot_counts(settings, [CPU]) == list(CPU_SLOTS)
    assert list_slot_counts(settings, [CPU, GPU]) == list(GPU_SLOTS)
    assert list_slot_counts(replace(settings, gpu_layers=0), [CPU, GPU]) == list(CPU_SLOTS)
    assert list_slot_counts(settings, [{**CPU, "memory_free": 2**31}]) == [8]
    assert list_slot_counts(replace(settings, context=10**6), [CPU, GPU]) == [2]
    assert list_slot_counts(replace(settings, context=10**7), [CPU, GPU]) == [8]


def test_a_container_has_the_cores_of_its_quota(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(tuning, "_CPU_QUOTA", quota)
    assert count_cores() == 64
    for text, cores in (("max 100000\n", 64), ("250000 100000\n", 3), ("50000 100000\n", 1), ("", 64)):
        quota.write_text(text)
        assert count_cores() == cores


@pytest.mark.local_model
def test_a_real_model_is_measured_once_and_the_result_is_stored(settings, monkeypatch, tmp_path):
    endpoint = {"provider": "local", "model": MODEL}
    config = {"endpoints": {"e": endpoint}, "cache": {"store": "memory:"}}
    for _ in range(2):
        with aiquery.connect(config=config) as con:
            con.sql("SELECT ai_query('e', 'hi', modelParameters => {'max_tokens': 1})")
        (file,) = (tmp_path / "tuning").iterdir()
        stored = json.loads(file.read_bytes())
        assert stored["slots"] in CPU_SLOTS
        assert 1 <= stored["threads"] <= count_cores()
        assert stored["seconds_per_row"] > 0
        monkeypatch.setattr(tuning, "SpeedTest", None)  # it would fail if it were used again


@pytest.mark.local_model
@pytest.mark.parametrize("content", [b"", b"{}", b'{"threads": "many"}', b"\xff"])
def test_a_damaged_result_is_measured_again(settings, monkeypatch, tmp_path, content):
    machine = Machine(2, WRITING)
    monkeypatch.setattr(tuning, "SpeedTest", lambda settings: machine.start(settings.threads))
    first = tuning.tune(settings, threads=False, slots=True)
    (file,) = (tmp_path / "tuning").iterdir()
    file.write_bytes(content)
    assert tuning.tune(settings, threads=False, slots=True) == first
    assert len(machine.loads) == 2


@pytest.mark.local_model
def test_a_result_that_cannot_be_stored_is_used(settings, monkeypatch, tmp_path):
    (tmp_path / "tuning").write_text("a file in place of the folder")
    machine = Machine(2, {8: 2, 16: 100})
    monkeypatch.setattr(tuning, "SpeedTest", lambda settings: machine.start(settings.threads))
    assert tuning.tune(settings, threads=False, slots=True).slots == 16


@pytest.mark.local_model
def test_a_model_that_cannot_be_measured_has_the_usual_settings(settings, monkeypatch, tmp_path):
    def fail(_):
        raise RequestFailed("the model has no chat template")

    monkeypatch.setattr(tuning, "SpeedTest", fail)
    assert tuning.tune(settings, threads=False, slots=True) == settings
    assert not (tmp_path / "tuning").exists()


@pytest.mark.local_model
def test_a_model_that_does_not_answer_the_speed_test_is_unloaded(settings, monkeypatch):
    def fail(*_):
        raise RequestFailed("the model has no chat template")

    before = set(forked._open)
    monkeypatch.setattr(LlamaServer, "run", fail)
    with pytest.raises(RequestFailed):
        SpeedTest(settings)
    assert forked._open == before


@pytest.mark.local_model
@pytest.mark.parametrize("assigned", ["1", "3"])
def test_a_process_with_assigned_cores_uses_them_and_measures_nothing(settings, monkeypatch, assigned):
    monkeypatch.setenv("OMP_NUM_THREADS", assigned)
    monkeypatch.setattr(local_settings, "tune", None)
    found = read_settings(Config().endpoint(f"local:{MODEL}"))
    assert (found.threads, found.slots) == (int(assigned), 8)
