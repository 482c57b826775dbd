"""What the tests of updates share."""

import threading

import pytest


@pytest.fixture
def config(serve, tmp_path):
    """Give a function that starts a server and returns it with a configuration that asks it, over a store."""

    def make(reply=None, **settings):
        server = serve(reply, **settings)
        endpoint = server.endpoint(hedge=False)
        return server, {
            "endpoints": {"m": endpoint},
            "cache": {"store": str(tmp_path / "answers.sqlite")},
        }

    return make


@pytest.fixture
def twice_at_once():
    """Give a function that runs another in two threads at once and returns what they raised."""

    def run(update):
        errors = []

        def caught():
            try:
                update()
            except Exception as error:  # noqa: BLE001  told by the test
                errors.append(error)

        threads = [threading.Thread(target=caught) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors

    return run
