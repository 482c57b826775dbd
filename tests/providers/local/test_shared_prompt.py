"""What the prompts of a call begin with is read once, for all slots."""

import asyncio
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

import aiquery
from aiquery.errors import RequestFailed
from aiquery.providers.local import shared_prompt
from aiquery.providers.local.chat_model import ChatModel
from aiquery.providers.local.llama_server import ModelSettings, SavedPrompt
from aiquery.providers.local.model_file import find_model
from aiquery.providers.local.shared_prompt import MAX_CALLS, MIN_TOKENS, SharedPrompts, count_shared
from aiquery.providers.local.slots import Slots

NAME = "local:smollm2-135m-instruct"
BEGINNING = list(range(MIN_TOKENS + 8))


class Recorder:
    """A model that records what its slots read. The tokens of a conversation are in its message."""

    can_save_prompts = True

    def __init__(self, *, fails=False):
        self.fails = fails
        self.events = []
        self.may_tokenize = threading.Event()
        self.may_tokenize.set()

    def tokenize_chat(self, messages):
        self.may_tokenize.wait()
        return messages

    def save_prompt(self, slot, tokens):
        if self.fails:
            raise RequestFailed("the disk is full")
        self.events.append(("save", slot, tokens))
        return SavedPrompt("a", len(tokens))

    def restore_prompt(self, slot, saved):
        if self.fails:
            raise RequestFailed("the file is gone")
        self.events.append(("restore", slot, saved))

    def forget_prompt(self, saved):
        self.events.append(("forget", saved))


def run(work, *, slots=2, fails=False):
    """Return what ``work(shared_prompts, slots)`` returns, and the events of the model."""

    async def go():
        model = Recorder(fails=fails)
        threads = Slots(model, slots)
        prompts = SharedPrompts(model, threads)
        try:
            return await work(prompts, threads), model.events
        finally:
            await prompts.close()
            await threads.close()

    return asyncio.run(go())


def test_requests_at_the_same_time_read_their_beginning_once():
    async def work(prompts, _):
        return await asyncio.gather(*(prompts.find(b"call", [*BEGINNING, 100 + i]) for i in range(8)))

    found, events = run(work)
    assert {prompt.tokens for prompt in found} == {len(BEGINNING)}
    assert len(set(found)) == 1
    assert [event[0] for event in events] == ["save"]
    assert events[0][2] == BEGINNING


def test_a_single_request_reads_its_own_prompt_and_the_second_one_saves():
    async def work(prompts, _):
        return [await prompts.find(b"call", [*BEGINNING, i]) for i in range(3)]

    found, events = run(work)
    assert found[0] is None
    assert found[1] is found[2] is not None
    assert len(events) == 1


def test_prompts_that_have_little_in_common_are_not_saved():
    async def work(prompts, _):
        return await asyncio.gather(*(prompts.find(b"call", [1, 2, 3, 100 + i]) for i in range(4)))

    assert run(work) == ([None] * 4, [])


def test_a_state_that_cannot_be_saved_costs_time_only():
    async def work(prompts, slots):
        found = await asyncio.gather(*(prompts.find(b"call", [*BEGINNING, 100 + i]) for i in range(3)))
        answer = await slots.run(lambda job: f"answer of slot {job.slot}", SavedPrompt("gone", 9))
        return found, answer

    (found, answer), _ = run(work, slots=1, fails=True)
    assert found == [None] * 3
    assert answer == "answer of slot 0"


def test_a_request_that_is_cancelled_does_not_stop_the_reading():
    async def work(prompts, _):
        model = prompts._llama
        model.may_tokenize.clear()
        tasks = [asyncio.create_task(prompts.find(b"call", [*BEGINNING, 100 + i])) for i in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        model.may_tokenize.set()
        return await tasks[2]

    found, events = run(work)
    assert found.tokens == len(BEGINNING)
    assert len(events) == 1


def test_a_slot_restores_the_state_when_it_held_another_prompt():
    one, other = SavedPrompt("one", 40), SavedPrompt("other", 40)

    async def work(_, slots):
        for saved in (one, one, other, None, other):
            await slots.run(lambda job: job.slot, saved)

    _, events = run(work, slots=1)
    assert events == [("restore", 0, one), ("restore", 0, other), ("restore", 0, other)]


def test_an_error_of_the_work_is_raised_where_it_is_awaited():
    async def work(_, slots):
        with pytest.raises(ZeroDivisionError):
            await slots.run(lambda _: 1 / 0)
        return await slots.run(lambda _: "the slot goes on")

    assert run(work, slots=1)[0] == "the slot goes on"


def test_the_states_of_old_calls_are_deleted():
    async def work(prompts, _):
        for call in range(MAX_CALLS + 2):
            for row in range(2):
                await prompts.find(str(call).encode(), [*BEGINNING, row])

    _, events = run(work)
    assert [event[0] for event in events].count("forget") == 2


@pytest.mark.parametrize(("one", "other", "count"), [([1, 2], [1, 3], 1), ([1], [1, 2], 1), ([], [1], 0)])
def test_tokens_in_common(one, other, count):
    assert count_shared([one, other]) == count


# --- the real model


@pytest.mark.local_model
def test_eight_rows_read_the_words_of_a_function_once():
    endpoint = {"provider": "local", "model": "smollm2-135m-instruct", "options": {"slots": 8, "threads": 2}}
    config = {"endpoints": {"e": endpoint}, "cache": {"store": "memory:"}}
    words = "The terms of the bank are long and boring. " * 12
    with aiquery.connect(config=config) as con:
        con.sql(f"SELECT ai_query('e', '{words}' || i, modelParameters => {{'max_tokens': 2}}) FROM range(8) r(i)")
        usages = [attempt.usage for attempt in con.ledger.attempts()]
    assert len(usages) == 8
    read = [usage.tokens_in - usage.tokens_cached for usage in usages]
    assert min(usage.tokens_in for usage in usages) > 100
    assert max(read) < 16


@pytest.mark.local_model
def test_a_restored_state_gives_the_same_answers(monkeypatch):
    def ask():
        with aiquery.connect(config={"cache": {"store": "memory:"}}) as con:
            return con.sql(
                f"SELECT i, ai_query('{NAME}', 'Copy the number, nothing else, as a digit: ' || i, "
                "returnType => 'INT', modelParameters => {'max_tokens': 48}) FROM range(8) r(i) ORDER BY i"
            ).fetchall()

    shared = ask()
    monkeypatch.setattr(shared_prompt, "MIN_TOKENS", 10**6)
    assert ask() == shared


@pytest.mark.local_model
def test_the_port_of_a_model_and_its_files_are_for_this_process_only():
    settings = ModelSettings(path=find_model("smollm2-135m-instruct"), task="chat", slots=1, context=256, threads=2)
    model = ChatModel(settings)
    try:
        folder = model.llama._folder
        assert folder.stat().st_mode & 0o777 == 0o700
        for path in ("slots", "tokenize"):
            request = urllib.request.Request(f"{model.llama.server.listening_address}/{path}", b"{}")
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=10)
    finally:
        asyncio.run(model.close())
    assert not folder.exists()


@pytest.mark.local_model
def test_the_folder_of_a_killed_process_is_removed_by_the_next_one(tmp_path):
    code = (
        "import os, signal\n"
        "from aiquery.providers.local.prompt_folder import make_prompt_folder\n"
        "folder = make_prompt_folder()\n"
        "(folder / '0.bin').write_bytes(b'state')\n"
        "{end}\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for end in ("os.kill(os.getpid(), signal.SIGKILL)", "print(len(list(folder.parent.iterdir())))"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(end=end)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout == "1\n"
