"""`autogen-agentchat` with `autogen-ext`: the model client and an AssistantAgent."""

import openai
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_core.models import ModelFamily, ModelInfo, UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient

from lane import TOKEN, URL, WRONG, a_refused, numbers, report, same

INFO = ModelInfo(
    vision=False,
    function_calling=True,
    json_output=False,
    structured_output=False,
    family=ModelFamily.UNKNOWN,
)


def model(token=TOKEN):
    return OpenAIChatCompletionClient(model="default", base_url=f"{URL}/openai/v1", api_key=token, model_info=INFO)


def asked(text):
    return [UserMessage(content=text, source="user")]


async def whole():
    answer = await model().create(asked("count 20 at 100/s"))
    same(answer.content, numbers(20))
    same(answer.usage.completion_tokens, 20, "the usage")


async def streamed():
    pieces = [piece async for piece in model().create_stream(asked("count 40 at 50/s"))]
    same("".join(piece for piece in pieces if isinstance(piece, str)), numbers(40))
    same(pieces[-1].content, numbers(40), "the end")


async def agent():
    one = AssistantAgent("counter", model_client=model(), model_client_stream=True)
    chunks = []
    async for event in one.run_stream(task="count 20 at 50/s"):
        if isinstance(event, ModelClientStreamingChunkEvent):
            chunks.append(event.content)
    same("".join(chunks), numbers(20))


async def agent_with_a_tool():
    async def weather(city: str) -> str:
        """The weather of a city."""
        return city

    one = AssistantAgent("counter", model_client=model(), tools=[weather])
    same((await one.run(task="count 5")).messages[-1].content, numbers(5))


async def wrong_token():
    return await a_refused(lambda: model(WRONG).create(asked("count 3")), openai.AuthenticationError)


report(whole, streamed, agent, agent_with_a_tool, wrong_token)
