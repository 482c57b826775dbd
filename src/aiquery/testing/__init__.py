"""A scripted HTTP endpoint on loopback, for tests of your own pipelines. It counts requests.

Examples
--------
>>> from aiquery.testing import EndpointServer
>>> with EndpointServer(reply=lambda question: question.prompt.upper()) as server:
...     server.base_url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

from aiquery.testing.answer import Answer, Question, lognormal, mixed
from aiquery.testing.endpoint import EndpointServer
from aiquery.testing.replica import Replica

__all__ = ["Answer", "EndpointServer", "Question", "Replica", "lognormal", "mixed"]
