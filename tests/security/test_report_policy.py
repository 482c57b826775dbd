"""The report page: its policy permits nothing but its own script and style, and no name of a run confuses it."""

import re
import shutil
import subprocess
import time

import pytest

from aiquery.reporting.html.page import render_page
from aiquery.requests.request import Usage
from aiquery.tracking.attempts import Attempt, Ledger
from aiquery.tracking.record import take_snapshot
from aiquery.tracking.run import RunStats
from aiquery.tracking.store import RunStore

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAMES = [
    "<!--<script>document.body.dataset.hacked = 1</script>",
    "</script><script>document.body.dataset.hacked = 1</script>",
    '"><img src=x onerror="document.body.dataset.hacked = 1">',
    "<!--<script>",
    "$vega $specs ${run}",
    "\u2028\u2029'\\\"",
]


@pytest.fixture
def page(tmp_path):
    """Return the page of a run whose names, statement and errors are hostile."""
    ledger = Ledger()
    stats = RunStats("duckdb", " ".join(NAMES), time.time() - 60)
    stats.totals = ledger.totals_of(stats.number)
    for i, name in enumerate(NAMES):
        attempt = Attempt(
            endpoint=name,
            key=bytes([i]) * 16,
            ending="failed",
            started_at=time.time() - 50 + i,
            latency_s=1.0,
            queued_s=0.0,
            status=400,
            usage=Usage(1, 0, 1),
            cost_usd=None,
            rows=1,
            truncated=0,
            function=name,
            error="RequestFailed",
            run_number=stats.number,
            size=1,
        )
        ledger.record(attempt)
    stats.count_error("RequestFailed", "HTTP 400: " + " ".join(NAMES))
    stats.end("failed", time.time(), " ".join(NAMES))
    store = RunStore(str(tmp_path / "runs.sqlite"), keep_days=1, max_bytes=1e9)
    store.write([take_snapshot(stats)], ledger.take(), {stats.number: stats.run_id})
    text = render_page(store.runs()[0], store.attempts(stats.run_id))
    store.close()
    return text


def test_the_policy_permits_only_what_the_page_has(page):
    (policy,) = re.findall('http-equiv="Content-Security-Policy"\\s+content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy
    assert len(re.findall("'sha256-[^']+'", rules["script-src"])) == 2
    assert len(re.findall("'sha256-[^']+'", rules["style-src"])) == 1
    assert "http:" not in policy
    assert "https:" not in policy


def test_the_data_of_the_page_has_no_character_of_html(page):
    (data,) = re.findall('<script id="specs" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert not set("<>&\u2028\u2029") & set(data)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_draws_the_page_and_runs_nothing_else(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page, "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run(
        [*command, "--enable-logging=stderr", f"file://{file}"], check=True, capture_output=True, timeout=120
    )
    dom = done.stdout.decode()
    assert re.search(r'data-drawn-ms="\d+"', dom)
    assert "data-hacked" not in dom
    assert b"Content Security Policy" not in done.stderr
