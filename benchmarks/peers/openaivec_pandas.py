# /// script
# dependencies = ["openaivec>=2.9", "pandas"]
# ///
"""openaivec: Series.aio.responses, several rows per request; the endpoint takes the sum of their times."""

import asyncio

import openai
import pandas as pd
from measure import measure, parse_arguments, replace_tiktoken

replace_tiktoken()
import openaivec
from openaivec import pandas_ext  # noqa: F401  registers the accessor

url, prompts, concurrency = parse_arguments()
openaivec.set_async_client(openai.AsyncOpenAI(base_url=url, api_key="none"))
openaivec.set_responses_model("m")


async def go():
    series = pd.Series(prompts)
    return await series.aio.responses("Answer each.", max_concurrency=concurrency, show_progress=False)


measure(lambda: asyncio.run(go()), prompts)
