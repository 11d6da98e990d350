"""`openai`: a run that waits for a human, in Chat Completions and in Responses."""

import json

import openai

from lane import TOKEN, URL, new_id, report, same
from waits import APPROVAL, COLOUR_NEEDED, MAIL_SENT, MAIL_WRITTEN, PLACE, PLACE_NEEDED, QUESTION, TOOL, given, refusal

client = openai.OpenAI(base_url=f"{URL}/openai/v1", api_key=TOKEN, max_retries=0)


def _complete(session, *messages, **more):
    return client.chat.completions.create(
        model="default", messages=messages, extra_headers={"x-session-id": session}, **more
    )


def _result(call, content):
    return {"role": "tool", "tool_call_id": call.id, "content": content}


def _user(text):
    return {"role": "user", "content": text}


def completion_with_a_tool():
    session = new_id()
    asked = _complete(session, _user(TOOL))
    choice = asked.choices[0]
    same([choice.finish_reason, choice.message.content], ["tool_calls", PLACE_NEEDED], "the end of the first part")
    [call] = choice.message.tool_calls
    same(call.function.name, "get_location", "the function")
    # The result is a text for this client.
    output = json.dumps(PLACE)
    told = _complete(session, _result(call, output))
    same(told.id, f"{asked.id}.1", "the id of the next part")
    same([told.choices[0].finish_reason, told.choices[0].message.content], ["stop", given(output)], "the next part")


def completion_with_a_question_streamed():
    session = new_id()
    with client.chat.completions.stream(
        model="default", messages=[_user(QUESTION)], extra_headers={"x-session-id": session}
    ) as stream:
        for _ in stream:
            pass
        asked = stream.get_final_completion()
    [call] = asked.choices[0].message.tool_calls
    same(call.function.name, "ask_user", "the function")
    same(json.loads(call.function.arguments)["choices"], ["red", "green", "blue"], "the choices")
    parts = [c.choices[0].delta.content or "" for c in _complete(session, _result(call, "red"), stream=True) if c.choices]
    same("".join(parts), given("red"))


def completion_of_an_approval_is_refused():
    try:
        _complete(new_id(), _user(APPROVAL))
    except openai.ConflictError as error:
        same(error.code, "input-required", "the code")
        return error.message
    raise AssertionError("an approval was completed")


def _output(response, kind):
    [item] = [item for item in response.output if item.type == kind]
    return item


def _answer(response, *items, **more):
    return client.responses.create(model="default", previous_response_id=response.id, input=list(items), **more)


def response_with_a_tool():
    asked = client.responses.create(model="default", input=TOOL)
    same([asked.status, asked.output_text], ["completed", PLACE_NEEDED], "the first part")
    call = _output(asked, "function_call")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps(PLACE)}
    told = _answer(asked, output)
    same(told.id, f"{asked.id}.1", "the id of the next part")
    same(told.output_text, given(output["output"]))
    again = _answer(asked, output)
    same([again.id, again.output_text], [told.id, told.output_text], "the same answer again")


def response_with_a_question_streamed():
    with client.responses.stream(model="default", input=QUESTION) as stream:
        asked = stream.get_final_response()
    same(asked.output_text, COLOUR_NEEDED)
    call = _output(asked, "function_call")
    same(call.name, "ask_user", "the function")
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "red"}
    with client.responses.stream(model="default", previous_response_id=asked.id, input=[answer]) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        same(text, given("red"))
        same(stream.get_final_response().output_text, given("red"), "the final response")


def response_with_an_approval():
    asked = client.responses.create(model="default", input=APPROVAL)
    same(asked.output_text, MAIL_WRITTEN)
    request = _output(asked, "mcp_approval_request")
    approval = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
    same(_answer(asked, approval).output_text, MAIL_SENT)
    try:
        _answer(asked, {**approval, "approve": False})
    except openai.ConflictError as error:
        same(error.code, "already-answered", "the code")
    else:
        raise AssertionError("another answer was taken")


def response_with_a_refusal():
    conversation = client.conversations.create().id
    asked = client.responses.create(model="default", input=APPROVAL, conversation=conversation)
    request = _output(asked, "mcp_approval_request")
    refused = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": False, "reason": "not now"}
    told = client.responses.create(model="default", conversation=conversation, input=[refused])
    same(told.output_text, refusal("not now"))


report(
    completion_with_a_tool,
    completion_with_a_question_streamed,
    completion_of_an_approval_is_refused,
    response_with_a_tool,
    response_with_a_question_streamed,
    response_with_an_approval,
    response_with_a_refusal,
)
