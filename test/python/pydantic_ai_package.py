"""`pydantic-ai`: an Agent over Chat Completions and over Responses."""

import json

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ModelHTTPError, ToolDenied
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from lane import TOKEN, URL, WRONG, new_id, numbers, refused, report, same
from waits import PLACE, TOOL, given


def agent(kind=OpenAIChatModel, token=TOKEN):
    provider = OpenAIProvider(base_url=f"{URL}/openai/v1", api_key=token)
    return Agent(kind("default", provider=provider), instructions="Count.")


async def _streamed(kind):
    text = ""
    async with agent(kind).run_stream("count 40 at 50/s") as result:
        async for piece in result.stream_text(delta=True, debounce_by=None):
            text += piece
    same(text, numbers(40))


def whole():
    result = agent().run_sync("count 20 at 100/s")
    same(result.output, numbers(20))
    same(result.usage.output_tokens, 20, "the usage")


async def streamed():
    await _streamed(OpenAIChatModel)


def second_turn():
    first = agent().run_sync("count 3")
    second = agent().run_sync("How many messages are there?", message_history=first.all_messages())
    # The instructions, a prompt, its answer and a prompt.
    if "4 messages in this conversation" not in second.output:
        raise AssertionError(second.output)


def with_tools():
    one = agent()

    @one.tool_plain
    def weather(city: str) -> str:
        return city

    same(one.run_sync("count 5").output, numbers(5))


def response():
    same(agent(OpenAIResponsesModel).run_sync("count 20 at 100/s").output, numbers(20))


async def response_streamed():
    await _streamed(OpenAIResponsesModel)


def _asks_before_its_tool(kind, settings, decision):
    """The answer to a run that waits for a tool, which the client executes only where its human approves that."""
    one = Agent(agent(kind).model, output_type=[str, DeferredToolRequests])

    @one.tool_plain(requires_approval=True)
    def get_location() -> dict:
        return PLACE

    asked = one.run_sync(TOOL, model_settings=settings)
    [call] = asked.output.approvals
    decided = DeferredToolResults(approvals={call.tool_call_id: decision})
    rest = one.run_sync(message_history=asked.all_messages(), model_settings=settings, deferred_tool_results=decided)
    return rest.output


def wait_for_a_tool_that_is_approved():
    settings = {"extra_headers": {"x-session-id": new_id()}}
    same(_asks_before_its_tool(OpenAIChatModel, settings, True), given(json.dumps(PLACE, separators=(",", ":"))))


def wait_for_a_tool_that_is_denied():
    settings = {"extra_headers": {"x-session-id": new_id()}}
    same(_asks_before_its_tool(OpenAIChatModel, settings, ToolDenied("not here")), given("not here"))


def response_waits_for_a_tool():
    settings = {"openai_previous_response_id": "auto"}
    same(_asks_before_its_tool(OpenAIResponsesModel, settings, True), given(json.dumps(PLACE, separators=(",", ":"))))


def wrong_token():
    refused(lambda: agent(OpenAIResponsesModel, WRONG).run_sync("count 3"), ModelHTTPError)
    return refused(lambda: agent(token=WRONG).run_sync("count 3"), ModelHTTPError)


report(
    whole,
    streamed,
    second_turn,
    with_tools,
    response,
    response_streamed,
    wait_for_a_tool_that_is_approved,
    wait_for_a_tool_that_is_denied,
    response_waits_for_a_tool,
    wrong_token,
)
