"""What the driver's binder says: types, errors, and no to a secret that would travel with the plan."""

import json

import pytest

from aiquery.engines.spark.driver.sidecar import Bind, Sidecar

pytestmark = pytest.mark.spark

SECRETS = {
    "endpoints.m.headers.Authorization": {
        "endpoints": {"m": {"headers": {"Authorization": "Bearer hunter2"}}}
    },
    "endpoints.m.headers.X-Api-Key": {
        "endpoints": {"m": {"headers": {"X-Api-Key": "hunter2"}}}
    },
    "endpoints.m.base_url": {
        "endpoints": {"m": {"base_url": "http://me:hunter2@host/v1"}}
    },
    "endpoints.m.proxy": {"endpoints": {"m": {"proxy": "http://me:hunter2@proxy"}}},
    "cache.store": {
        "endpoints": {"m": {}},
        "cache": {"store": "redis://:hunter2@host:6379/0"},
    },
}


def ask(config, **constants):
    return Sidecar().answer(
        Bind("ai_query", {"endpoint": "m", **constants}, json.dumps(config))
    )


@pytest.mark.parametrize("setting", SECRETS)
def test_a_secret_in_the_configuration_is_refused_by_its_setting_and_not_repeated(
    setting,
):
    said = ask(SECRETS[setting])["error"]
    assert setting in said
    assert "$NAME" in said
    assert "hunter2" not in said


def test_names_of_variables_travel():
    config = {
        "endpoints": {
            "m": {
                "base_url": "http://host/v1",
                "headers": {"Authorization": "$TOKEN", "X-Team": "data"},
            }
        },
        "cache": {"store": "$ANSWERS"},
    }
    assert ask(config, returnType="INT")["returns"] == "integer"
    assert (
        json.loads(ask(config)["config"])["endpoints"]["m"]["headers"]["Authorization"]
        == "$TOKEN"
    )
