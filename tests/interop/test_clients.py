"""langchain-openai, instructor, pydantic-ai and litellm drive the test endpoint."""

import subprocess

from conftest import PROGRAMS, find_python


def test_the_clients_of_others(serve):
    server = serve()
    program = [find_python("clients"), PROGRAMS / "use_clients.py", server.base_url]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr[-3000:]}"
    assert ended.stdout.count(" ok\n") == 4
