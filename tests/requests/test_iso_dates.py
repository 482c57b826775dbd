"""Dates and timestamps in the forms of ISO 8601, and in no other."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from aiquery.requests.iso_dates import read_date, read_timestamp

DAY = date(2024, 5, 1)
DATES = ["2024-05-01", "20240501", "2024-W18-3", "2024W183", "2024-w18-3", "2024-122", "2024122", " 2024-05-01 "]


@pytest.mark.parametrize("text", DATES)
def test_dates(text):
    assert read_date(text) == DAY
    assert read_timestamp(text) == datetime(2024, 5, 1)


@pytest.mark.parametrize("behind", ["T10:00:00Z", " 10:00", " (Wednesday)", ", as stated", "T24:00"])
def test_what_follows_a_date_is_ignored(behind):
    assert read_date(f"2024-05-01{behind}") == DAY


TIMES = {
    "2024-05-01T10:30": datetime(2024, 5, 1, 10, 30),
    "2024-05-01 10:30:15": datetime(2024, 5, 1, 10, 30, 15),
    "2024-05-01t10:30:15z": datetime(2024, 5, 1, 10, 30, 15, tzinfo=UTC),
    "20240501T103015": datetime(2024, 5, 1, 10, 30, 15),
    "2024-122T10": datetime(2024, 5, 1, 10),
    "2024-05-01T10:30:15.5": datetime(2024, 5, 1, 10, 30, 15, 500_000),
    "2024-05-01T10:30:15,25": datetime(2024, 5, 1, 10, 30, 15, 250_000),
    "2024-05-01T10:30:15.123456789Z": datetime(2024, 5, 1, 10, 30, 15, 123_456, tzinfo=UTC),
    "2024-05-01T10:30+02": datetime(2024, 5, 1, 10, 30, tzinfo=timezone(timedelta(hours=2))),
    "2024-05-01T10:30-0530": datetime(2024, 5, 1, 10, 30, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    "2024-05-01 10:30:00 +02:00": datetime(2024, 5, 1, 10, 30, tzinfo=timezone(timedelta(hours=2))),
    "2024-05-01 10:30:00 UTC": datetime(2024, 5, 1, 10, 30, tzinfo=UTC),
    "2024-04-30T24:00:00": datetime(2024, 5, 1),
    "2024-04-30T2400Z": datetime(2024, 5, 1, tzinfo=UTC),
}


@pytest.mark.parametrize("text", TIMES)
def test_timestamps(text):
    assert read_timestamp(text) == TIMES[text]


WRONG = [
    "",
    "May 2024",
    "2024-05",
    "2024",
    "2024-13-01",
    "2024-02-30",
    "2023-366",
    "2024-000",
    "01.05.2024",
    "5/1/2024",
    "0000-01-01",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_date(text):
    with pytest.raises(ValueError, match=r"\w"):
        read_date(text)


@pytest.mark.parametrize(
    "text", ["2024-05-01 (Wednesday)", "2024-05-01T25:00", "2024-05-01T24:01", "2024-05-01T", "2024-05-01 noon"]
)
def test_what_is_no_timestamp(text):
    with pytest.raises(ValueError, match=r"\w"):
        read_timestamp(text)
