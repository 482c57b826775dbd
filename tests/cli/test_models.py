"""``aiquery models``: the list, and downloads from a mirror of the hub on loopback."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "providers" / "local"))
from hub_server import HubServer

pytestmark = pytest.mark.local_model
REPO = "org/tiny-GGUF"
MODEL = b"GGUF" + bytes(range(256)) * 100_000
FILES = {"README.md": b"a model", "tiny-Q8_0.gguf": MODEL, "tiny-Q4_K_M.gguf": MODEL[:1000]}


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the command with an empty cache of the hub."""
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "COLUMNS": "120",
        "TQDM_POSITION": "-1",
    }
    environment.pop("HF_HUB_OFFLINE", None)

    def start(*arguments, during=None, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "aiquery", "models", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | variables,
        )
        if during is not None:
            during(process)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return start


@pytest.fixture
def hub():
    servers = []

    def start(files=FILES, **settings):
        servers.append(HubServer(REPO, files, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_the_list_names_memory_licence_and_use(run):
    done = run()
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "yes" in lines["smollm2-135m-instruct"]
    assert "yes" in lines["all-minilm-l6-v2"]
    assert "yes" not in lines["qwen2.5-7b-instruct"]
    for memory in ("0.5 GB", "2 GB", "8 GB", "24 GB"):
        assert memory in done.stdout
    assert "Apache-2.0" in lines["qwen2.5-7b-instruct"]


def test_a_model_is_fetched_from_a_mirror_with_progress(run, hub):
    server = hub()
    done = run("get", f"{REPO}:Q8_0", "--mirror", server.address)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_bytes() == MODEL
    assert "100%" in done.stderr
    server.close()
    again = run("get", f"{REPO}:Q8_0", HF_HUB_OFFLINE="1")
    assert again.stdout == done.stdout


def test_the_environment_names_the_mirror_too(run, hub):
    done = run("get", f"{REPO}:Q4_K_M", HF_ENDPOINT=hub().address)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == MODEL[:1000]


def test_an_interrupted_download_goes_on(run, hub):
    server = hub(break_after=15_000_000)
    first = run("get", f"{REPO}:Q8_0", "--mirror", server.address)
    done = first if first.returncode == 0 else run("get", f"{REPO}:Q8_0", "--mirror", server.address)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == MODEL
    assert server.ranges[0] == 0
    assert server.ranges[-1] > 0


def test_kill_9_during_a_download_leaves_nothing_that_is_used_and_the_next_one_goes_on(run, hub, tmp_path):
    server = hub(pause_after=22_000_000)

    def kill(process):
        assert server.is_paused.wait(60)
        while not any(part.stat().st_size for part in tmp_path.rglob("*.aiquery-part")):
            time.sleep(0.05)
        process.kill()

    assert run("get", f"{REPO}:Q8_0", "--mirror", server.address, during=kill).returncode < 0
    offline = run("get", f"{REPO}:Q8_0", HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    done = run("get", f"{REPO}:Q8_0", "--mirror", server.address)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == MODEL
    assert server.ranges[-1] > 0


def test_all_parts_of_a_large_model_are_fetched(run, hub):
    names = [f"big-q5_k_m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    server = hub(files={name: MODEL[: 1000 + i] for i, name in enumerate(names)})
    done = run("get", f"{REPO}:Q5_K_M", "--mirror", server.address)
    assert done.returncode == 0, done.stderr
    first = Path(done.stdout.strip())
    assert first.name == names[0]
    assert [len((first.parent / name).read_bytes()) for name in names] == [1000, 1001, 1002]
    assert run("get", f"{REPO}:Q5_K_M", HF_HUB_OFFLINE="1").stdout == done.stdout
    (first.parent / names[1]).unlink()
    assert run("get", f"{REPO}:Q5_K_M", HF_HUB_OFFLINE="1").returncode == 1


def test_a_file_with_another_hash_is_deleted(run, hub):
    server = hub(wrong_hash=True)
    done = run("get", f"{REPO}:Q8_0", "--mirror", server.address)
    assert done.returncode == 1
    assert "SHA-256" in done.stderr
    assert run("get", f"{REPO}:Q8_0", HF_HUB_OFFLINE="1").returncode == 1


def test_a_quantization_that_does_not_exist(run, hub):
    done = run("get", f"{REPO}:Q2_K", "--mirror", hub().address)
    assert done.returncode == 1
    assert "it has: tiny-Q8_0.gguf, tiny-Q4_K_M.gguf" in done.stderr


def test_without_a_network_the_error_says_what_to_do(run):
    done = run("get", f"{REPO}:Q8_0", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "could not be fetched" in done.stderr
    assert "HF_ENDPOINT" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_name_is_answered_with_the_known_ones(run):
    done = run("get", "smolm")
    assert done.returncode == 1
    assert "smollm2-135m-instruct" in done.stderr
