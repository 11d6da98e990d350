"""`langgraph-sdk`: threads and runs. The client resumes a cut stream by itself."""

import json

import httpx
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import APIStatusError
from langgraph_sdk.schema import Command

from cutting_proxy import CuttingProxy
from lane import TOKEN, URL, WRONG, is_part, new_id, numbers, refused, report, same
from waits import (
    APPROVAL,
    COLOUR_NEEDED,
    MAIL_SENT,
    MAIL_WRITTEN,
    PLACE,
    PLACE_NEEDED,
    QUESTION,
    TOOL,
    given,
    refusal,
)

BASE = f"{URL}/langgraph"
client = get_sync_client(url=BASE, api_key=TOKEN)


def asked(text):
    return {"messages": [{"type": "human", "content": text, "id": new_id()}]}


def text_of(parts):
    """The text of the answer, without the results of its tools."""
    messages = [part.data[0] for part in parts if part.event == "messages"]
    return "".join(message["content"] for message in messages if message["type"] == "AIMessageChunk")


def whole():
    thread = client.threads.create()["thread_id"]
    state = client.runs.wait(thread, "default", input=asked("count 20 at 100/s"))
    same(state["messages"][-1]["content"], numbers(20))
    same(client.threads.get_state(thread)["values"]["messages"][-1]["content"], numbers(20), "the state")


def streamed():
    thread = client.threads.create()["thread_id"]
    parts = list(client.runs.stream(thread, "default", input=asked("count 40 at 50/s"), stream_mode="messages-tuple"))
    same(text_of(parts), numbers(40))
    return f"{len(parts)} parts"


async def streamed_async():
    asynchronous = get_client(url=BASE, api_key=TOKEN)
    thread = (await asynchronous.threads.create())["thread_id"]
    stream = asynchronous.runs.stream(thread, "default", input=asked("count 20"), stream_mode=["messages-tuple", "values"])
    parts = [part async for part in stream]
    same(text_of(parts), numbers(20))
    values = [part.data for part in parts if part.event == "values"]
    same(values[-1]["messages"][-1]["content"], numbers(20), "the last state")


def resumes_by_itself():
    proxy = CuttingProxy(URL)
    through = get_sync_client(url=f"{proxy.url}/langgraph", api_key=TOKEN)
    thread = through.threads.create()["thread_id"]
    text, cuts = "", 0
    stream = through.runs.stream(thread, "default", input=asked("count 90 at 30/s"), stream_mode="messages-tuple")
    for part in stream:
        text += text_of([part])
        if len(text) > 40 * (cuts + 1) and cuts < 2:
            cuts += 1
            proxy.cut()
    same(text, numbers(90))
    return f"cut {cuts} times"


def resume():
    thread = client.threads.create()["thread_id"]
    run = client.runs.create(thread, "default", input=asked("count 60 at 40/s"))["run_id"]
    text, last = "", None
    for part in client.runs.join_stream(thread, run, stream_mode="messages-tuple"):
        text += text_of([part])
        last = part.id or last
        if len(text) > 30:
            break
    for part in client.runs.join_stream(thread, run, stream_mode="messages-tuple", last_event_id=last):
        text += text_of([part])
    same(text, numbers(60))


def stop():
    thread = client.threads.create()["thread_id"]
    run = client.runs.create(thread, "default", input=asked("count 5000 at 50/s"))["run_id"]
    next(part for part in client.runs.join_stream(thread, run) if part.event == "messages")
    client.runs.cancel(thread, run, wait=True)
    same(client.runs.get(thread, run)["status"], "interrupted", "the status")
    is_part(client.threads.get_state(thread)["values"]["messages"][-1]["content"], 5000)


def _interrupt(state):
    [interrupt] = state["__interrupt__"]
    return interrupt


def _streamed_wait(thread, **asked):
    """What a stream says, and its last state."""
    modes = ["messages-tuple", "values"]
    parts = list(client.runs.stream(thread, "default", stream_mode=modes, **asked))
    same(parts[-1].event, "end", "the last event")
    return text_of(parts), [part.data for part in parts if part.event == "values"][-1]


def wait_for_an_approval():
    thread = client.threads.create()["thread_id"]
    text, state = _streamed_wait(thread, input=asked(APPROVAL))
    same(text, MAIL_WRITTEN)
    interrupt = _interrupt(state)
    same([interrupt["value"]["kind"], interrupt["value"]["toolName"]], ["approval", "send_mail"], "the interrupt")
    same(client.threads.get(thread)["status"], "interrupted", "the status of the thread")
    resume = Command(resume={interrupt["id"]: {"approved": True}})
    text, state = _streamed_wait(thread, command=resume)
    same([text, "__interrupt__" in state], [MAIL_SENT, False], "the next run")
    again = client.runs.create(thread, "default", command=resume)
    # A state that is read has no reason of the end of an answer; the one of a stream has it.
    read = client.runs.join(thread, again["run_id"])
    contents = [[one["content"] for one in each["messages"]] for each in (read, state)]
    same(contents[0], contents[1], "the messages of the same answer again")
    other = Command(resume={interrupt["id"]: False})
    return refused(
        lambda: client.runs.create(thread, "default", command=other), APIStatusError, httpx.HTTPStatusError, status=409
    )


def wait_for_a_refusal():
    thread = client.threads.create()["thread_id"]
    _interrupt(client.runs.wait(thread, "default", input=asked(APPROVAL)))
    command = Command(resume={"approved": False, "reason": "not now"})
    state = client.runs.wait(thread, "default", command=command)
    same(state["messages"][1]["content"], MAIL_WRITTEN + refusal("not now"))


def wait_for_an_answer():
    thread = client.threads.create()["thread_id"]
    text, state = _streamed_wait(thread, input=asked(QUESTION))
    same([text, _interrupt(state)["value"]["choices"]], [COLOUR_NEEDED, ["red", "green", "blue"]], "the interrupt")
    same(_streamed_wait(thread, command=Command(resume="red"))[0], given("red"))


def wait_for_a_tool():
    thread = client.threads.create()["thread_id"]
    text, state = _streamed_wait(thread, input=asked(TOOL))
    same([text, _interrupt(state)["value"]["kind"]], [PLACE_NEEDED, "tool"], "the interrupt")
    text, state = _streamed_wait(thread, command=Command(resume={_interrupt(state)["id"]: PLACE}))
    same(text, given(PLACE))
    same(state["messages"][-1]["content"], json.dumps(PLACE, separators=(",", ":")), "the result in the state")


def wrong_token():
    wrong = get_sync_client(url=BASE, api_key=WRONG)
    return refused(lambda: wrong.threads.create(), APIStatusError, httpx.HTTPStatusError)


report(
    whole,
    streamed,
    streamed_async,
    resumes_by_itself,
    resume,
    stop,
    wait_for_an_approval,
    wait_for_a_refusal,
    wait_for_an_answer,
    wait_for_a_tool,
    wrong_token,
)
