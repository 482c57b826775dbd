# /// script
# dependencies = ["daft[openai]>=0.7"]
# ///
"""Daft: the prompt function, chat completions."""

import os

os.environ["DAFT_PROGRESS_BAR"] = "0"
os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
import daft
from daft.ai.openai.provider import OpenAIProvider
from daft.functions import prompt
from measure import arguments, measured

url, prompts, concurrency = arguments()
provider = OpenAIProvider("endpoint", base_url=url, api_key="none")


def ask():
    frame = daft.from_pydict({"s": prompts})
    answer = prompt(
        daft.col("s"), provider=provider, model="m", use_chat_completions=True
    )
    return frame.with_column("a", answer).to_pydict()["a"]


measured(ask, prompts)
