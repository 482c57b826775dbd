"""The report as a page in Chromium: one file that fetches nothing, draws every plot, and filters its errors."""

import re
import shutil
import subprocess
import time

import pytest

from aiquery.reporting.html.page import _hash, render_page
from aiquery.requests.request import Usage
from aiquery.tracking.attempts import Attempt, Ledger
from aiquery.tracking.record import take_snapshot
from aiquery.tracking.run import RunStats
from aiquery.tracking.store import RunStore

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
SLOW = "HTTP 429: <script>alert(1)</script> slow down"
TITLES = [
    "Where the rows' values came from",
    "Answers per second",
    "Requests in flight",
    "Latency of answers",
    "Tokens per second",
    "Cost so far",
    "Failed attempts",
]


@pytest.fixture
def stored_run(tmp_path):
    """Return a function that stores a run with a number of attempts, and reads its record and attempts."""

    def make(attempts):
        ledger = Ledger()
        now = time.time()
        statement = "SELECT ai_query('m', '…' || body) FROM mail WHERE a < b"
        stats = RunStats("duckdb", statement, now - 60)
        stats.totals = ledger.totals_of(stats.number)
        for i in range(attempts):
            attempt = make_attempt(i, now - 60 + 59 * i / attempts, stats.number)
            ledger.record(attempt)
            if attempt.error:
                stats.count_error(attempt.error, SLOW)
        stats.row_counter("call").add(2 * attempts, done=True)
        stats.requests = attempts
        stats.cache_hits = attempts // 2
        stats.end("done", now)
        store = RunStore(str(tmp_path / "runs.sqlite"), keep_days=1, max_bytes=1e9)
        store.write([take_snapshot(stats)], ledger.take(), {stats.number: stats.run_id})
        record = store.runs()[0]
        stored_attempts = store.attempts(stats.run_id)
        store.close()
        return record, stored_attempts

    return make


def make_attempt(i, started_at, run_number):
    """Return an attempt; one of 49 is throttled."""
    is_throttled = i % 49 == 0
    return Attempt(
        endpoint="gpt" if i % 2 else "llama",
        key=i.to_bytes(16, "big"),
        ending="retried" if is_throttled else "answered",
        started_at=started_at,
        latency_s=0.1 + (i % 97) / 50,
        queued_s=0.0,
        status=429 if is_throttled else 200,
        usage=Usage() if is_throttled else Usage(100 + i % 7, 16, 20),
        cost_usd=None if is_throttled else 1e-4,
        rows=1,
        truncated=0,
        function="ai_query",
        error="RequestFailed" if is_throttled else "",
        run_number=run_number,
        size=400,
    )


def add_script(text, script):
    """Return the page with one more script at its end, which its policy permits."""
    before, end, after = text.rpartition("</body>")
    permitted = _hash(f"{{{script}}}")
    before = before.replace("script-src ", f"script-src {permitted} ", 1)
    return f"{before}<script>{{{script}}}</script>{end}{after}"


def browse(file, *arguments):
    """Return the document of Chromium after every plot is drawn."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", *arguments]
    process = subprocess.run([*command, f"file://{file}"], check=True, capture_output=True, timeout=120)
    return process.stdout.decode()


def test_a_hundred_thousand_attempts_are_one_small_file_without_external_resources(stored_run):
    text = render_page(*stored_run(100_000))
    assert len(text.encode()) < 5_000_000
    assert SLOW not in text
    assert "HTTP 429: … slow …" in text
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=|url\(|@import", markup)
    # the policy forbids the browser to fetch anything, also for a script
    assert "default-src 'none'" in markup


@needs_chromium
def test_every_plot_is_drawn_and_the_errors_can_be_filtered(stored_run, tmp_path):
    text = render_page(*stored_run(3000))
    file = tmp_path / "report.html"
    set_filter = "const f = document.getElementById('filter'); f.value = 'gpt'; f.dispatchEvent(new Event('input'));"
    file.write_text(add_script(text, set_filter), "utf-8")
    dom = browse(file, "--dump-dom")
    assert re.search(r'data-drawn-ms="\d+"', dom)
    for title in TITLES:
        assert title in dom or title.replace("'", "&#39;") in dom, title
    assert len(re.findall(r'<svg[^>]* class="marks"', dom)) == len(TITLES)
    _, _, rest = dom.partition('id="errors"')
    errors, _, _ = rest.partition("<script")
    assert errors.count('<tr hidden=""') == 1
    assert errors.count("<tr>") == 2  # the head and one row
    for figure in ("6,000", "3,000", "1,500", "0.2938 USD"):
        assert figure in dom, figure


@needs_chromium
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_a_phone_and_has_a_dark_scheme(stored_run, tmp_path, width):
    file = tmp_path / "report.html"
    picture = tmp_path / "report.png"
    measure = "document.body.dataset.wide = document.documentElement.scrollWidth > window.innerWidth;"
    measure += "document.body.dataset.colour = getComputedStyle(document.documentElement).colorScheme;"
    script = f"setTimeout(() => {{{measure}}}, 5000)"
    file.write_text(add_script(render_page(*stored_run(500)), script), "utf-8")
    dom = browse(file, "--dump-dom", f"--window-size={width},2000")
    assert 'data-wide="false"' in dom
    assert 'data-colour="light dark"' in dom
    browse(file, f"--screenshot={picture}", f"--window-size={width},2000", "--blink-settings=preferredColorScheme=0")
    assert picture.stat().st_size > 20_000


def test_a_run_without_attempts_or_errors_has_a_page(tmp_path):
    stats = RunStats("duckdb", None, time.time())
    stats.cache_hits = 3
    stats.end("done", time.time())
    store = RunStore(str(tmp_path / "empty.sqlite"), keep_days=1, max_bytes=1e9)
    store.write([take_snapshot(stats)], [], {})
    text = render_page(store.runs()[0], store.attempts(stats.run_id))
    store.close()
    assert "no price is known" in text
    assert "<p>None.</p>" in text
