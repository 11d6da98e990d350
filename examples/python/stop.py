"""Stop: ends the run for everybody. What was said until then stays."""

from client import openai, prompt_or

response = openai.responses.create(model="default", input=prompt_or("count 5000"), background=True)
with openai.responses.retrieve(response.id, stream=True) as stream:
    next(event for event in stream if event.type == "response.output_text.delta")
openai.responses.cancel(response.id)
stopped = openai.responses.retrieve(response.id)
print(f"{stopped.status}: {stopped.output_text}")
