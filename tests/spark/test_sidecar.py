"""The driver sidecar returns types and errors, and rejects a secret that would travel with the plan."""

import json
import threading
import time

import msgspec
import pytest

from aiquery.config import load
from aiquery.engines.spark.driver.session import settings
from aiquery.engines.spark.driver.sidecar import Bind, Sidecar, answer_all
from aiquery.errors import ConfigError

pytestmark = pytest.mark.spark

SECRETS = {
    "endpoints.m.headers.Authorization": {"endpoints": {"m": {"headers": {"Authorization": "Bearer hunter2"}}}},
    "endpoints.m.headers.X-Api-Key": {"endpoints": {"m": {"headers": {"X-Api-Key": "hunter2"}}}},
    "endpoints.m.base_url": {"endpoints": {"m": {"base_url": "http://me:hunter2@host/v1"}}},
    "endpoints.m.headers.X-Session": {"endpoints": {"m": {"headers": {"X-Session": "hunter2"}}}},
    "endpoints.m.headers.X-Team": {"endpoints": {"m": {"headers": {"X-Team": "hunter2hunter2hunter2"}}}},
    "endpoints.m.options.access_token": {"endpoints": {"m": {"options": {"access_token": "hunter2"}}}},
    "endpoints.q.base_url": {"endpoints": {"m": {}, "q": {"base_url": "http://host/v1?key=hunter2"}}},
    "endpoints.u.base_url": {"endpoints": {"m": {}, "u": {"base_url": "https://hunter2@host/v1"}}},
    "endpoints.m.proxy": {"endpoints": {"m": {"proxy": "http://me:hunter2@proxy"}}},
    "cache.store": {"endpoints": {"m": {}}, "cache": {"store": "redis://:hunter2@host:6379/0"}},
    "cache.store ": {"endpoints": {"m": {}}, "cache": {"store": "rediss://host:6379/0?password=hunter2"}},
}


def bind(config, *, of_session=False, **constants):
    arguments = {"endpoint": "m", **constants}
    question = Bind(function="ai_query", constants=arguments, config=json.dumps(config), of_session=of_session)
    return Sidecar().answer(question)


@pytest.mark.parametrize("setting", SECRETS)
def test_a_secret_is_rejected_with_the_name_of_its_setting_and_not_repeated(setting):
    error = bind(SECRETS[setting])["error"]
    assert setting.strip() in error
    assert "$NAME" in error
    assert "hunter2" not in error


def test_a_command_that_prints_a_key_counts_only_where_the_driver_is_started():
    config = {"endpoints": {"m": {"provider": "fake", "api_key_command": "print-key"}}}
    assert "error" not in bind(config)
    error = bind(config, of_session=True)["error"]
    assert "endpoints.m.api_key_command runs a program on the executors" in error


@pytest.mark.parametrize("setting", SECRETS)
def test_a_secret_never_becomes_a_setting_of_spark(setting):
    for config in (SECRETS[setting], json.dumps(SECRETS[setting]), load(SECRETS[setting])):
        with pytest.raises(ConfigError, match="holds a secret") as error:
            settings(config)
        assert "hunter2" not in str(error.value)


def test_questions_are_answered_side_by_side():
    release = threading.Event()
    answers = []

    class Slow(Sidecar):
        def answer(self, question):
            if question.function == "slow":
                assert release.wait(10)
            return {"returns": question.function}

    def ask():
        for number, function in enumerate(["slow", "quick"], 1):
            question = Bind(number=number, function=function, constants={}, config="", of_session=False)
            yield msgspec.json.encode(question).decode()
        while not answers:
            time.sleep(0.01)
        release.set()

    answer_all(Slow(), ask(), answers.append)
    assert [(one["number"], one["returns"]) for one in answers] == [(2, "quick"), (1, "slow")]


def test_an_unexpected_error_is_an_answer(monkeypatch):
    monkeypatch.setattr("aiquery.registry.functions", dict)
    assert bind({"endpoints": {"m": {}}}) == {"error": "unexpected KeyError: 'ai_query'"}


def test_names_of_variables_are_part_of_the_plan():
    config = {
        "endpoints": {"m": {"base_url": "http://host/v1", "headers": {"Authorization": "$TOKEN", "X-Team": "data"}}},
        "cache": {"store": "$ANSWERS"},
    }
    assert bind(config, returnType="INT")["returns"] == "integer"
    endpoint = json.loads(bind(config)["config"])["endpoints"]["m"]
    assert endpoint["headers"]["Authorization"] == "$TOKEN"
