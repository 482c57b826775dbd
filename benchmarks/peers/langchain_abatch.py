# /// script
# dependencies = ["langchain-openai>=1"]
# ///
"""LangChain: ChatOpenAI.abatch with max_concurrency."""

import asyncio

from langchain_openai import ChatOpenAI
from measure import measure, parse_arguments

url, prompts, concurrency = parse_arguments()


async def go():
    model = ChatOpenAI(model="m", base_url=url, api_key="none")
    replies = await model.abatch(prompts, config={"max_concurrency": concurrency})
    return [reply.content for reply in replies]


measure(lambda: asyncio.run(go()), prompts)
