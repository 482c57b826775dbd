"""The time to wait, from the headers of an error reply."""

from datetime import UTC, datetime, timedelta

import pytest

from aiquery.providers.http.retry_after import read_wait_s

NOW = datetime(2026, 11, 26, 8, 0, 0, tzinfo=UTC)
IN_90_S = NOW + timedelta(seconds=90)
EPOCH = int(NOW.timestamp())

CASES = {
    # Retry-After
    "seconds": ({"retry-after": "2"}, 2),
    "a fraction": ({"retry-after": "2.5"}, 2.5),
    "white space": ({"retry-after": " 7 "}, 7),
    "IMF-fixdate": ({"retry-after": "Thu, 26 Nov 2026 08:01:30 GMT"}, 90),
    "RFC 850": ({"retry-after": "Thursday, 26-Nov-26 08:01:30 GMT"}, 90),
    "asctime": ({"retry-after": "Thu Nov 26 08:01:30 2026"}, 90),
    "no zone is known": ({"retry-after": "Thu, 26 Nov 2026 08:01:30 -0000"}, 90),
    "no zone": ({"retry-after": "Thu, 26 Nov 2026 08:01:30"}, 90),
    "another zone": ({"retry-after": "Thu, 26 Nov 2026 10:01:30 +0200"}, 90),
    "in the past": ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    "negative": ({"retry-after": "-1"}, 0),
    "nan": ({"retry-after": "nan"}, None),
    "infinite": ({"retry-after": "inf"}, None),
    "less than infinite": ({"retry-after": "-inf"}, None),
    "too large for a float": ({"retry-after": "1e999"}, None),
    "words": ({"retry-after": "soon"}, None),
    "empty": ({"retry-after": ""}, None),
    "an impossible date": ({"retry-after": "Thu, 99 Nov 2026 08:01:30 GMT"}, None),
    "a year that no date has": ({"retry-after": "Thu, 26 Nov 99999 08:01:30 GMT"}, None),
    "a duration": ({"retry-after": "1m30s"}, 90),
    "an epoch": ({"retry-after": str(EPOCH + 90)}, 90),
    # retry-after-ms
    "milliseconds": ({"retry-after-ms": "250"}, 0.25),
    "milliseconds come first": ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    "invalid milliseconds": ({"retry-after-ms": "x", "retry-after": "1"}, 1),
    # when limits are free again
    "OpenAI": ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360),
    "OpenAI, milliseconds": ({"x-ratelimit-reset-requests": "250ms"}, 0.25),
    "a limit that is not used up": (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "2s",
            "x-ratelimit-remaining-tokens": "90000",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        2,
    ),
    "hours": ({"x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
    "epoch seconds": ({"x-ratelimit-reset": str(EPOCH + 90)}, 90),
    "epoch milliseconds": ({"x-ratelimit-reset": str((EPOCH + 90) * 1000)}, 90),
    "seconds from now": ({"x-ratelimit-reset": "12"}, 12),
    "an epoch in the past": ({"x-ratelimit-reset": str(EPOCH - 90)}, 0),
    "ISO": ({"x-ratelimit-reset": "2026-11-26T08:01:30Z"}, 90),
    "Anthropic": ({"anthropic-ratelimit-input-tokens-reset": "2026-11-26T08:01:30Z"}, 90),
    "Anthropic, not used up": (
        {"anthropic-ratelimit-requests-remaining": "49", "anthropic-ratelimit-requests-reset": "2026-11-26T08:01:30Z"},
        None,
    ),
    "an invalid reset": ({"x-ratelimit-reset": "never"}, None),
    "Retry-After comes before resets": ({"retry-after": "3", "x-ratelimit-reset-tokens": "6m0s"}, 3),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_time_to_wait(name):
    headers, seconds = CASES[name]
    raw = {key.encode(): value.encode() for key, value in headers.items()}
    expected = None if seconds is None else pytest.approx(seconds)
    assert read_wait_s(raw, NOW) == expected
