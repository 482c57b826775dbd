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
from measure import measure, parse_arguments

url, prompts, concurrency = parse_arguments()
provider = OpenAIProvider("endpoint", base_url=url, api_key="none")


def answer():
    frame = daft.from_pydict({"s": prompts})
    column = prompt(daft.col("s"), provider=provider, model="m", use_chat_completions=True)
    return frame.with_column("a", column).to_pydict()["a"]


measure(answer, prompts)
