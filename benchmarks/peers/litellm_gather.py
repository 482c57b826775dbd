# /// script
# dependencies = ["litellm>=1.100"]
# ///
"""litellm: acompletion with a semaphore, on its aiohttp transport (the default)."""

import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = (
    "True"  # else it fetches prices from the network
)
import litellm
from measure import arguments, measured

url, prompts, concurrency = arguments()


async def go():
    gate = asyncio.Semaphore(concurrency)

    async def ask(prompt):
        async with gate:
            reply = await litellm.acompletion(
                "openai/m",
                messages=[{"role": "user", "content": prompt}],
                api_base=url,
                api_key="none",
            )
        return reply.choices[0].message.content

    return await asyncio.gather(*(ask(prompt) for prompt in prompts))


measured(lambda: asyncio.run(go()), prompts)
