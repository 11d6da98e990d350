"""`langgraph-sdk`: threads and runs. The client resumes a cut stream by itself."""

import httpx
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import APIStatusError

from cutting_proxy import CuttingProxy
from lane import TOKEN, URL, WRONG, is_part, new_id, numbers, refused, report, same

BASE = f"{URL}/langgraph"
client = get_sync_client(url=BASE, api_key=TOKEN)


def asked(text):
    return {"messages": [{"type": "human", "content": text, "id": new_id()}]}


def text_of(parts):
    return "".join(part.data[0]["content"] for part in parts if part.event == "messages")


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


def wrong_token():
    wrong = get_sync_client(url=BASE, api_key=WRONG)
    return refused(lambda: wrong.threads.create(), APIStatusError, httpx.HTTPStatusError)


report(whole, streamed, streamed_async, resumes_by_itself, resume, stop, wrong_token)
