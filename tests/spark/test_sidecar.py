"""The driver sidecar returns types and errors, and rejects a secret that would travel with the plan."""

import json

import pytest

from aiquery.engines.spark.driver.sidecar import Bind, Sidecar

pytestmark = pytest.mark.spark

SECRETS = {
    "endpoints.m.headers.Authorization": {"endpoints": {"m": {"headers": {"Authorization": "Bearer hunter2"}}}},
    "endpoints.m.headers.X-Api-Key": {"endpoints": {"m": {"headers": {"X-Api-Key": "hunter2"}}}},
    "endpoints.m.base_url": {"endpoints": {"m": {"base_url": "http://me:hunter2@host/v1"}}},
    "endpoints.m.proxy": {"endpoints": {"m": {"proxy": "http://me:hunter2@proxy"}}},
    "cache.store": {"endpoints": {"m": {}}, "cache": {"store": "redis://:hunter2@host:6379/0"}},
}


def bind(config, **constants):
    arguments = {"endpoint": "m", **constants}
    return Sidecar().answer(Bind("ai_query", arguments, json.dumps(config)))


@pytest.mark.parametrize("setting", SECRETS)
def test_a_secret_is_rejected_with_the_name_of_its_setting_and_not_repeated(setting):
    error = bind(SECRETS[setting])["error"]
    assert setting in error
    assert "$NAME" in error
    assert "hunter2" not in error


def test_names_of_variables_are_part_of_the_plan():
    config = {
        "endpoints": {"m": {"base_url": "http://host/v1", "headers": {"Authorization": "$TOKEN", "X-Team": "data"}}},
        "cache": {"store": "$ANSWERS"},
    }
    assert bind(config, returnType="INT")["returns"] == "integer"
    endpoint = json.loads(bind(config)["config"])["endpoints"]["m"]
    assert endpoint["headers"]["Authorization"] == "$TOKEN"
