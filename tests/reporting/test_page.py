"""The report as a page, in a real Chromium: one file that fetches nothing, draws every plot, and filters its errors."""

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

CHROMIUM = (
    shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on this machine"
)
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
def kept(tmp_path):
    """A run with so many attempts, as it is read back from its file."""

    def make(attempts):
        ledger, now = Ledger(), time.time()
        stats = RunStats(
            "duckdb",
            "SELECT ai_query('m', '…' || body) FROM mail WHERE a < b",
            now - 60,
        )
        stats.totals = ledger.totals_of(stats.number)
        for i in range(attempts):
            bad = i % 49 == 0
            error, usage = (
                ("RequestFailed", Usage()) if bad else ("", Usage(100 + i % 7, 16, 20))
            )
            ledger.record(
                Attempt(
                    endpoint="gpt" if i % 2 else "llama",
                    key=i.to_bytes(16, "big"),
                    ending="retried" if bad else "answered",
                    started_at=now - 60 + 59 * i / attempts,
                    latency_s=0.1 + (i % 97) / 50,
                    queued_s=0.0,
                    status=429 if bad else 200,
                    usage=usage,
                    cost_usd=None if bad else 1e-4,
                    rows=1,
                    truncated=0,
                    function="ai_query",
                    error=error,
                    run_number=stats.number,
                    size=400,
                )
            )
            if bad:
                stats.count_error(error, SLOW, str(i))
        stats.row_counter("call").add(2 * attempts, done=True)
        stats.requests, stats.cache_hits = attempts, attempts // 2
        stats.end("done", now)
        store = RunStore(str(tmp_path / "runs.sqlite"), keep_days=1, max_bytes=1e9)
        store.write([take_snapshot(stats)], ledger.take(), {stats.number: stats.run_id})
        found = store.runs()[0], store.attempts(stats.run_id)
        store.close()
        return found

    return make


def with_script(text, script):
    """Return the page with one more script at its end."""
    before, end, after = text.rpartition("</body>")
    return f"{before}<script>{{{script}}}</script>{end}{after}"


def browse(file, *arguments):
    """Return the page as Chromium has it once every plot is drawn."""
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        *arguments,
    ]
    return subprocess.run(
        [*command, f"file://{file}"], check=True, capture_output=True, timeout=120
    ).stdout.decode()


def test_a_hundred_thousand_attempts_are_one_small_file_without_anything_from_elsewhere(
    kept,
):
    text = render_page(*kept(100_000))
    assert len(text.encode()) < 5_000_000
    assert SLOW not in text
    assert "&lt;script&gt;alert(1)" in text
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=|url\(|@import", markup)
    assert (
        "default-src 'none'" in markup
    )  # and the browser is told to fetch nothing, whatever a script says


@needs_chromium
def test_every_plot_is_drawn_and_the_errors_can_be_filtered(kept, tmp_path):
    text = render_page(*kept(3000))
    file = tmp_path / "report.html"
    ask = "const f = document.getElementById('filter'); f.value = 'gpt'; f.dispatchEvent(new Event('input'));"
    file.write_text(with_script(text, ask), "utf-8")
    dom = browse(file, "--dump-dom")
    assert re.search(r'data-drawn-ms="\d+"', dom)
    for title in TITLES:
        assert re.search(
            re.escape(title.replace("'", "&#39;")) + "|" + re.escape(title), dom
        ), title
    assert len(re.findall(r'<svg[^>]* class="marks"', dom)) == len(TITLES)
    errors = dom[
        dom.index('id="errors"') : dom.index("<script", dom.index('id="errors"'))
    ]
    hidden, shown = errors.count('<tr hidden=""'), errors.count("<tr>") - 1
    assert (hidden, shown) == (1, 1)
    for figure in ("6,000", "3,000", "1,500", "0.2938 USD"):
        assert figure in dom, figure


@needs_chromium
@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_a_phone_and_is_dark_in_the_dark(kept, tmp_path, width):
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    measure = "document.body.dataset.wide = document.documentElement.scrollWidth > window.innerWidth;"
    measure += "document.body.dataset.colour = getComputedStyle(document.documentElement).colorScheme;"
    file.write_text(
        with_script(render_page(*kept(500)), f"setTimeout(() => {{{measure}}}, 5000)"),
        "utf-8",
    )
    dom = browse(file, "--dump-dom", f"--window-size={width},2000")
    assert 'data-wide="false"' in dom
    assert 'data-colour="light dark"' in dom
    browse(
        file,
        f"--screenshot={picture}",
        f"--window-size={width},2000",
        "--blink-settings=preferredColorScheme=0",
    )
    assert picture.stat().st_size > 20_000


def test_a_run_without_attempts_or_errors_has_a_page_too(kept, tmp_path):
    stats = RunStats("duckdb", None, time.time())
    stats.cache_hits = 3
    stats.end("done", time.time())
    store = RunStore(str(tmp_path / "empty.sqlite"), keep_days=1, max_bytes=1e9)
    store.write([take_snapshot(stats)], [], {})
    text = render_page(store.runs()[0], store.attempts(stats.run_id))
    store.close()
    assert "no price is known" in text
    assert "<p>None.</p>" in text
