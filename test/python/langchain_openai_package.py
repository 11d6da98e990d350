"""`langchain-openai`: ChatOpenAI over Chat Completions and over Responses."""

import asyncio

import openai
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from lane import TOKEN, URL, WRONG, new_id, numbers, refused, report, same

BASE = f"{URL}/openai/v1"


def model(**more):
    return ChatOpenAI(base_url=BASE, api_key=more.pop("api_key", TOKEN), model="default", **more)


def whole():
    answer = model().invoke([SystemMessage("Count."), HumanMessage("count 20 at 100/s")])
    same(answer.content, numbers(20))
    same(answer.usage_metadata["output_tokens"], 20, "the usage")


def streamed():
    chunks = list(model(stream_usage=True).stream("count 40 at 50/s"))
    same("".join(chunk.content for chunk in chunks), numbers(40))
    return f"{len(chunks)} chunks"


async def streamed_async():
    same("".join([chunk.content async for chunk in model().astream("count 20")]), numbers(20))


def batch():
    answers = model().batch([f"count {count}" for count in (3, 5, 7)])
    same([answer.content for answer in answers], [numbers(3), numbers(5), numbers(7)])


def second_turn():
    chat = model(default_headers={"x-session-id": new_id()})
    for count in (4, 6):
        same(chat.invoke(f"count {count}").content, numbers(count))


def with_tools():
    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return city

    same(model().bind_tools([weather]).invoke("count 5").content, numbers(5))


def response():
    chat = model(use_responses_api=True)
    answer = chat.invoke("count 20 at 100/s")
    same(answer.text, numbers(20))
    same(chat.invoke("count 3", previous_response_id=answer.response_metadata["id"]).text, numbers(3), "the next answer")


def response_streamed():
    chunks = model(use_responses_api=True).stream("count 40 at 50/s")
    same("".join(chunk.text for chunk in chunks), numbers(40))


async def left_in_the_middle():
    """A stream that is left stops nothing: the chat has the whole answer."""
    session = new_id()
    chat = model(default_headers={"x-session-id": session})
    async for _ in chat.astream("count 40 at 40/s"):
        break
    client = openai.AsyncOpenAI(base_url=BASE, api_key=TOKEN)
    for _ in range(100):
        items = await client.get(f"{URL}/v1/sessions/{session}/messages", cast_to=object)
        answers = [one["content"] for one in items["messages"] if one["role"] == "assistant"]
        if answers == [numbers(40)]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the chat has {answers}")


def wrong_token():
    return refused(lambda: model(api_key=WRONG).invoke("count 3"), openai.AuthenticationError)


report(
    whole,
    streamed,
    streamed_async,
    batch,
    second_turn,
    with_tools,
    response,
    response_streamed,
    left_in_the_middle,
    wrong_token,
)
