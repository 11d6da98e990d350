"""The native protocol with plain httpx: a reader that comes back behind the last event that it has, until the answer ends.

Cut the network or `kill -9` the server in the middle, and start the server again: the text continues where it was.
"""

import json
import sys
import time
import uuid

import httpx

from client import HOLDLINE, TOKEN, prompt_or

HEADERS = {"authorization": f"Bearer {TOKEN}"}
# The server sends at least a comment every 15 seconds.
TIMEOUT = httpx.Timeout(10, read=40)
TRIES_MAX = 30
TAKES_BACK = ("reset", "run.restarted")
ENDS = ("run.completed", "run.failed", "run.cancelled")


def events(client: httpx.Client, session: str, last: str):
    """The events behind the position `last`, each with its own position."""
    headers = {**HEADERS, "last-event-id": last}
    with client.stream("GET", f"/v1/sessions/{session}/events", headers=headers) as response:
        response.raise_for_status()
        event = {}
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "data" in event:
                yield event.get("id", last), event.get("event"), json.loads(event["data"])
                event = {}


def main() -> None:
    session = f"python-{uuid.uuid4()}"
    with httpx.Client(base_url=HOLDLINE, timeout=TIMEOUT) as client:
        prompt = {"content": prompt_or("count 200 at 10/s")}
        client.post(f"/v1/sessions/{session}/messages", headers=HEADERS, json=prompt).raise_for_status()
        last = "earliest"
        for _ in range(TRIES_MAX):
            try:
                for last, kind, data in events(client, session, last):
                    if kind == "delta" and data["kind"] == "text":
                        print(data["text"], end="", flush=True)
                    if kind in TAKES_BACK:
                        # An app would drop what it shows: the whole text after a reset, else that behind `at`.
                        print(f"\n--- {kind}: {data} ---", file=sys.stderr)
                    if kind in ENDS:
                        print()
                        return
            except httpx.TransportError as error:
                print(f"\n--- {type(error).__name__}: coming back ---", file=sys.stderr)
            time.sleep(1)
        sys.exit("gave up")


main()
