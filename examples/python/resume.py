"""A response in the background. Its stream is cut in the middle, and the rest comes by `starting_after`."""

from client import openai, prompt_or

response = openai.responses.create(model="default", input=prompt_or("count 50"), background=True)

last = 0
pieces = 0
with openai.responses.retrieve(response.id, stream=True) as stream:
    for event in stream:
        last = event.sequence_number
        if event.type != "response.output_text.delta":
            continue
        print(event.delta, end="", flush=True)
        pieces += 1
        # Leaving closes the connection. The run continues.
        if pieces == 5:
            break
print("\n--- cut ---")
for event in openai.responses.retrieve(response.id, stream=True, starting_after=last):
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
print()
