# /// script
# dependencies = ["openai>=3"]
# ///
"""AsyncOpenAI with a semaphore, the usual code."""

import asyncio

import openai
from measure import measure, parse_arguments

url, prompts, concurrency = parse_arguments()


async def go():
    semaphore = asyncio.Semaphore(concurrency)
    client = openai.AsyncOpenAI(base_url=url, api_key="none")

    async def send(prompt):
        async with semaphore:
            reply = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt}])
        return reply.choices[0].message.content

    return await asyncio.gather(*(send(prompt) for prompt in prompts))


measure(lambda: asyncio.run(go()), prompts)
