"""`openai`: Chat Completions and Responses."""

import openai

from lane import TOKEN, URL, WRONG, is_part, new_id, numbers, refused, report, same

BASE = f"{URL}/openai/v1"
client = openai.OpenAI(base_url=BASE, api_key=TOKEN)


def ask(text):
    return [{"role": "user", "content": text}]


def whole():
    answer = client.chat.completions.create(model="default", messages=ask("count 20 at 100/s"))
    same(answer.choices[0].message.content, numbers(20))
    same(client.chat.completions.retrieve(answer.id).choices[0].message.content, numbers(20), "the answer by its id")
    return f"usage {answer.usage.prompt_tokens}+{answer.usage.completion_tokens}"


def streamed():
    stream = client.chat.completions.create(
        model="default", messages=ask("count 40 at 50/s"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    same("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), numbers(40))
    same(chunks[-1].usage.completion_tokens, 40, "the usage")
    return f"{len(chunks)} chunks"


def streamed_by_helper():
    with client.chat.completions.stream(model="default", messages=ask("count 20 at 50/s")) as stream:
        for _ in stream:
            pass
        same(stream.get_final_completion().choices[0].message.content, numbers(20))


def second_turn():
    headers = {"x-session-id": new_id()}
    for count in (5, 7):
        answer = client.chat.completions.create(model="default", messages=ask(f"count {count}"), extra_headers=headers)
        same(answer.choices[0].message.content, numbers(count))


def response():
    answer = client.responses.create(model="default", input="count 20 at 100/s")
    same(answer.output_text, numbers(20))
    same(answer.status, "completed", "the status")
    after = client.responses.create(model="default", input="count 3", previous_response_id=answer.id)
    same(after.output_text, numbers(3), "the next answer")


def response_streamed():
    with client.responses.stream(model="default", input="count 40 at 50/s") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        same(text, numbers(40))
        same(stream.get_final_response().output_text, numbers(40))


def resume():
    answer = client.responses.create(model="default", input="count 60 at 40/s", background=True)
    text, last = "", 0
    with client.responses.retrieve(answer.id, stream=True) as stream:
        for event in stream:
            last = event.sequence_number
            text += event.delta if event.type == "response.output_text.delta" else ""
            if len(text) > 20:
                break
    cut = len(text)
    for event in client.responses.retrieve(answer.id, stream=True, starting_after=last):
        text += event.delta if event.type == "response.output_text.delta" else ""
    same(text, numbers(60))
    return f"cut behind {cut} characters"


def stop():
    answer = client.responses.create(model="default", input="count 5000 at 50/s", background=True)
    with client.responses.retrieve(answer.id, stream=True) as stream:
        next(event for event in stream if event.type == "response.output_text.delta")
    same(client.responses.cancel(answer.id).status, "cancelled", "the status")
    is_part(client.responses.retrieve(answer.id).output_text, 5000)


def conversation():
    made = client.conversations.create(metadata={"from": "python"})
    for count in (4, 6):
        answer = client.responses.create(model="default", input=f"count {count}", conversation=made.id)
        same(answer.output_text, numbers(count))
    client.conversations.delete(made.id)


def models():
    ids = [model.id for model in client.models.list()]
    if "default" not in ids:
        raise AssertionError(f"default is not among {ids}")
    return ", ".join(ids)


def wrong_token():
    wrong = openai.OpenAI(base_url=BASE, api_key=WRONG)
    refused(lambda: wrong.responses.create(model="default", input="count 3"), openai.AuthenticationError)
    return refused(
        lambda: wrong.chat.completions.create(model="default", messages=ask("count 3")), openai.AuthenticationError
    )


report(
    whole,
    streamed,
    streamed_by_helper,
    second_turn,
    response,
    response_streamed,
    resume,
    stop,
    conversation,
    models,
    wrong_token,
)
