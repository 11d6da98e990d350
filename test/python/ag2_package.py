"""`ag2`: an Agent over Chat Completions and over Responses, and an agent of Holdline over A2A."""

import openai
from ag2 import Agent, MemoryStream, tool
from ag2.config import OpenAIConfig, OpenAIResponsesConfig
from ag2.events import ModelMessageChunk

from lane import TOKEN, URL, WRONG, a_refused, numbers, report, same

BASE = f"{URL}/openai/v1"


def agent(kind=OpenAIConfig, token=TOKEN, streaming=False, tools=()):
    config = kind(model="default", base_url=BASE, api_key=token, streaming=streaming)
    return Agent("counter", prompt="Count.", config=config, tools=list(tools))


async def _streamed(kind):
    pieces = []
    stream = MemoryStream()
    stream.where(ModelMessageChunk).subscribe(lambda event: pieces.append(event.content))
    reply = await agent(kind, streaming=True).ask("count 40 at 50/s", stream=stream)
    same(reply.body, numbers(40))
    same("".join(pieces), numbers(40), "the pieces")
    return f"{len(pieces)} pieces"


async def whole():
    same((await agent().ask("count 20 at 100/s")).body, numbers(20))


async def streamed():
    return await _streamed(OpenAIConfig)


async def second_turn():
    first = await agent().ask("count 3")
    same((await first.ask("count 5")).body, numbers(5))


async def with_tools():
    @tool
    async def weather(city: str) -> str:
        """The weather of a city."""
        return city

    same((await agent(tools=[weather]).ask("count 5")).body, numbers(5))


async def response():
    same((await agent(OpenAIResponsesConfig).ask("count 20 at 100/s")).body, numbers(20))


async def response_streamed():
    return await _streamed(OpenAIResponsesConfig)


async def wrong_token():
    return await a_refused(lambda: agent(token=WRONG).ask("count 3"), openai.AuthenticationError)


report(whole, streamed, second_turn, with_tools, response, response_streamed, wrong_token)
