"""Each vendor's lines in docs/guides/vendors.md run as they are written, against a server at the vendor's path."""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from test_cli import run

from aiquery.config.catalogs import vendors
from aiquery.config.settings import Config
from aiquery.testing import Answer, EndpointServer

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "vendors.md"
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def find_vendor(block):
    return re.search(r"test ([a-z]+):", block)[1]


def test_every_vendor_with_a_server_has_its_lines():
    assert {find_vendor(block) for block in BLOCKS} == {name for name, row in vendors().items() if "base_url" in row}


@pytest.mark.usefixtures("gcloud")
@pytest.mark.parametrize("block", BLOCKS, ids=find_vendor)
def test_the_lines_of_a_vendor(block, monkeypatch, tmp_path):
    monkeypatch.setenv("AIQUERY_CACHE", str(tmp_path / "cache.sqlite"))
    vendor = find_vendor(block)
    *exports, test, sql = block.splitlines()
    for export in exports:
        name, _, value = export.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, value)
    with EndpointServer(lambda _: Answer(text="hello")) as server:
        model = re.search(rf"{vendor}:(\S+)", test)[1]
        path = urlsplit(Config().endpoint(f"{vendor}:{model}").base_url).path
        root = server.base_url.removesuffix("/v1")
        monkeypatch.setitem(vendors()[vendor], "base_url", root + path)
        for line in (test, sql):
            assert "hello" in run(*shlex.split(line)[1:]).stdout
    assert all(model == request.body.get("model") or model in unquote(request.path) for request in server.requests)
