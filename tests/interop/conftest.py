"""Starts servers and clients that others wrote, each from an environment of its own: ``make test-interop``."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from aiquery.providers.local.model_file import find_model

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".cache" / "interop"
PROGRAMS = Path(__file__).parent / "programs"
KEY = "sk-interop-0123456789"
START_S = 120


def find_python(environment):
    """The interpreter of an environment that ``make test-interop`` made."""
    return str(ENVIRONMENTS / environment / "bin" / "python")


def find_free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_up(process, url, log):
    """Wait until a server answers at all: an error is an answer."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"{process.args} did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Start a program with a port, and give its address."""
    started = []

    def run(python, *arguments, path="/", **environment):
        port = find_free_port()
        filled = [argument.replace("{port}", str(port)) for argument in map(str, arguments)]
        log = tmp_path_factory.mktemp("server") / "log"
        with log.open("wb") as output:
            env = {**os.environ, "OPENAI_API_KEY": KEY, **environment}
            process = subprocess.Popen([python, *filled], stdout=output, stderr=output, env=env)
        started.append(process)
        wait_until_up(process, f"http://127.0.0.1:{port}{path}", log)
        return f"http://127.0.0.1:{port}"

    yield run
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


@pytest.fixture(scope="session")
def models():
    """The files of a chat model and of an embedding model."""
    return find_model("smollm2-135m-instruct"), find_model("all-minilm-l6-v2")


@pytest.fixture(scope="session")
def llama_cpp_python(start, models):
    """llama-cpp-python's server: the addresses of its chat model and of its embedding model."""
    common = ["-m", "llama_cpp.server", "--port", "{port}", "--api_key", KEY]
    python = find_python("llama_cpp_python")
    chat = start(python, *common, "--model", models[0], "--n_ctx", "2048", path="/v1/models")
    embedding = start(python, *common, "--model", models[1], "--embedding", "true", path="/v1/models")
    return f"{chat}/v1", f"{embedding}/v1"


@pytest.fixture(scope="session")
def xllamacpp(start, models):
    """llama.cpp's own HTTP server, which xllamacpp contains: likewise."""
    program = PROGRAMS / "xllamacpp_server.py"
    chat = start(sys.executable, program, models[0], "{port}", KEY, "chat", path="/health")
    embedding = start(sys.executable, program, models[1], "{port}", KEY, "embedding", path="/health")
    return f"{chat}/v1", f"{embedding}/v1"


@pytest.fixture(scope="session")
def litellm(start, xllamacpp, tmp_path_factory):
    """LiteLLM's proxy before xllamacpp's servers."""
    chat, embedding = xllamacpp
    config = tmp_path_factory.mktemp("litellm") / "config.yaml"
    entry = "  - model_name: {}\n    litellm_params: {{model: openai/m, api_base: '{}', api_key: '{}'}}\n"
    models = entry.format("chat", chat, KEY) + entry.format("embedding", embedding, KEY)
    config.write_text(f"model_list:\n{models}general_settings: {{master_key: {KEY}}}\n")
    program = ENVIRONMENTS / "litellm" / "bin" / "litellm"
    python = find_python("litellm")
    url = start(python, program, "--config", config, "--port", "{port}", path="/health/liveliness")
    return f"{url}/v1", f"{url}/v1"


@pytest.fixture(scope="session")
def mlflow(start, tmp_path_factory):
    """MLflow's scoring server with a model that returns the length of a text and twice a number."""
    python = find_python("mlflow")
    model = tmp_path_factory.mktemp("mlflow") / "model"
    subprocess.run([python, PROGRAMS / "mlflow_model.py", model], check=True)
    program = ENVIRONMENTS / "mlflow" / "bin" / "mlflow"
    arguments = ["models", "serve", "-m", model, "--port", "{port}", "--env-manager", "local"]
    path = f"{Path(python).parent}:{os.environ['PATH']}"
    return start(python, program, *arguments, path="/ping", PATH=path) + "/invocations"
