"""The test endpoint in another process, with the part of the Responses API that openaivec uses.

A request with several rows takes the sum of their times, because a model writes them one after another.
"""

import json
import sys
import threading

from aiquery.testing import Answer, EndpointServer, lognormal

draw = lognormal(float(sys.argv[1]), 0.6)


class Row:
    """One row of a request, as an argument for ``lognormal``."""

    def __init__(self, prompt):
        self.prompt = prompt


def reply(question):
    if not question.path.endswith("/responses"):
        return Answer(latency_s=draw(question))
    rows = json.loads(question.body["input"])["user_messages"]
    answers = [{"id": row["id"], "body": f"echo: {row['body']}"} for row in rows]
    text = json.dumps({"assistant_messages": answers})
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
    document = {"id": "r", "object": "response", "created_at": 0, "model": "m", "status": "completed",
                "output": [message], "parallel_tool_calls": False, "tool_choice": "auto", "tools": []}  # fmt: skip
    return Answer(body=json.dumps(document).encode(), latency_s=sum(draw(Row(row["body"])) for row in rows))


if __name__ == "__main__":
    with EndpointServer(reply, keep=False) as server:
        print(server.base_url, flush=True)
        threading.Event().wait()
