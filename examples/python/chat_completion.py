"""A streamed chat completion: the next prompt of the chat `trip`."""

import uuid

from client import openai, prompt_or

stream = openai.chat.completions.create(
    model="default",
    stream=True,
    messages=[{"role": "user", "content": prompt_or("count 50")}],
    # The key makes a request that the client repeats after a lost connection the same prompt.
    extra_headers={"x-session-id": "trip", "idempotency-key": str(uuid.uuid4())},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
