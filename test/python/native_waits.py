"""Plain `httpx` on the native protocol: a run that waits for a human."""

import json

import httpx

from lane import BEARER, URL, new_id, report, same
from waits import APPROVAL, COLOUR_NEEDED, MAIL_SENT, MAIL_WRITTEN, QUESTION, given

http = httpx.Client(base_url=f"{URL}/v1/sessions", headers=BEARER, timeout=30)


def _ask(prompt) -> str:
    session = new_id()
    http.post(f"/{session}/messages", json={"content": prompt}).raise_for_status()
    return session


def _events(session, last, *ends):
    """The events behind a position, up to one of the kinds in `ends`."""
    with http.stream("GET", f"/{session}/events", headers={"last-event-id": last}) as response:
        response.raise_for_status()
        event = {}
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "data" in event:
                told = {**json.loads(event["data"]), "kind_of_event": event["event"], "position": event.get("id", last)}
                yield told
                if event["event"] in ends:
                    return
                event = {}


def _text(events) -> str:
    return "".join(one["text"] for one in events if one["kind_of_event"] == "delta" and one["kind"] == "text")


def _waiting(session):
    """The events up to the wait, and the one input that is open."""
    events = list(_events(session, "earliest", "run.waiting"))
    [asked] = http.get(f"/{session}/inputs", params={"state": "open"}).json()["inputs"]
    same([one["inputId"] for one in events if one["kind_of_event"] == "input.requested"], [asked["inputId"]], "the input")
    return events, asked


def _answer(session, asked, **answer) -> httpx.Response:
    return http.post(f"/{session}/inputs/{asked['inputId']}", json=answer)


def approval():
    session = _ask(APPROVAL)
    events, asked = _waiting(session)
    same(_text(events), MAIL_WRITTEN)
    same([asked["kind"], asked["toolName"]], ["approval", "send_mail"], "what it asks")
    taken = _answer(session, asked, approved=True)
    same([taken.status_code, taken.json()], [202, {"runId": asked["runId"], "open": 0}], "the reply")
    same(_answer(session, asked, approved=True).json(), taken.json(), "the reply to the same answer")
    rest = list(_events(session, events[-1]["position"], "run.completed"))
    same(_text(rest), MAIL_SENT)
    other = _answer(session, asked, approved=False)
    same([other.status_code, other.json()["error"]["code"]], [409, "already-answered"], "another answer")


def question():
    session = _ask(QUESTION)
    events, asked = _waiting(session)
    same(_text(events), COLOUR_NEEDED)
    wrong = _answer(session, asked, value="black")
    same([wrong.status_code, wrong.json()["error"]["code"]], [400, "invalid-answer"], "an answer that does not fit")
    same(_answer(session, asked, value="red").status_code, 202, "the status")
    same(_text(_events(session, events[-1]["position"], "run.completed")), given("red"))


report(approval, question)
