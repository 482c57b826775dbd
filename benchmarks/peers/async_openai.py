# /// script
# dependencies = ["openai>=3"]
# ///
"""AsyncOpenAI with a semaphore: what most people write."""

import asyncio

import openai
from measure import arguments, measured

url, prompts, concurrency = arguments()


async def go():
    gate = asyncio.Semaphore(concurrency)
    client = openai.AsyncOpenAI(base_url=url, api_key="none")

    async def ask(prompt):
        async with gate:
            reply = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": prompt}]
            )
        return reply.choices[0].message.content

    return await asyncio.gather(*(ask(prompt) for prompt in prompts))


measured(lambda: asyncio.run(go()), prompts)
