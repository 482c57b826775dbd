"""Fixtures of the tests of updates."""

import threading

import pytest


@pytest.fixture
def config(serve, tmp_path):
    """Return a function that starts a server and returns it with a configuration of one endpoint and a store."""

    def make(reply=None, **settings):
        server = serve(reply, **settings)
        endpoint = server.endpoint(hedge=False)
        return server, {"endpoints": {"m": endpoint}, "cache": {"store": str(tmp_path / "answers.sqlite")}}

    return make


@pytest.fixture
def run_twice():
    """Return a function that runs another in two threads at once and returns the errors."""

    def run(update):
        errors = []

        def run_once():
            try:
                update()
            except Exception as error:  # noqa: BLE001  the test asserts that there is none
                errors.append(error)

        threads = [threading.Thread(target=run_once) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors

    return run
