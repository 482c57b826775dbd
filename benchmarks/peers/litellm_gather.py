# /// script
# dependencies = ["litellm>=1.100"]
# ///
"""litellm: acompletion with a semaphore, on its aiohttp transport (the default)."""

import asyncio
import os

# by default it downloads prices
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from measure import measure, parse_arguments

url, prompts, concurrency = parse_arguments()


async def go():
    semaphore = asyncio.Semaphore(concurrency)

    async def send(prompt):
        async with semaphore:
            reply = await litellm.acompletion(
                "openai/m", messages=[{"role": "user", "content": prompt}], api_base=url, api_key="none"
            )
        return reply.choices[0].message.content

    return await asyncio.gather(*(send(prompt) for prompt in prompts))


measure(lambda: asyncio.run(go()), prompts)
