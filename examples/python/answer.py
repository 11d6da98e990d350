"""A run that waits for a human, with plain httpx: prints what it asks, and answers with the next line that is typed.

Any client of the chat may answer, from any device; the first answer counts.
"""

import uuid

import httpx

from client import HOLDLINE, TOKEN, prompt_or

http = httpx.Client(base_url=f"{HOLDLINE}/v1", headers={"authorization": f"Bearer {TOKEN}"}, timeout=40)


def wait_for(session: str, *kinds: str) -> None:
    """Reads the chat from its beginning, until an event of one of these kinds."""
    with http.stream("GET", f"/sessions/{session}/events", headers={"last-event-id": "earliest"}) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.removeprefix("event: ") in kinds:
                return


def answer_to(asked: dict) -> dict:
    print(f"{asked['message']} {' / '.join(asked.get('choices', ['yes', 'no']))}")
    given = input().strip()
    return {"approved": given == "yes"} if asked["kind"] == "approval" else {"value": given}


session = f"python-{uuid.uuid4()}"
http.post(f"/sessions/{session}/messages", json={"content": prompt_or("ask approval")}).raise_for_status()
wait_for(session, "run.waiting")
for asked in http.get(f"/sessions/{session}/inputs").raise_for_status().json()["inputs"]:
    reply = http.post(f"/sessions/{session}/inputs/{asked['inputId']}", json=answer_to(asked))
    reply.raise_for_status()
wait_for(session, "run.completed")
for message in http.get(f"/sessions/{session}/messages").json()["messages"]:
    print(f"{message['role']}: {message['content']}")
