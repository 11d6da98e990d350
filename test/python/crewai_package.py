"""`crewai`: the LLM alone and in a crew."""

import os

# CrewAI reports what runs to its vendor, unless it is told not to.
os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"
os.environ["CREWAI_TRACING_ENABLED"] = "false"
os.environ["OTEL_SDK_DISABLED"] = "true"

from crewai import LLM, Agent, Crew, Task  # noqa: E402
from crewai.events import LLMStreamChunkEvent, crewai_event_bus  # noqa: E402

from lane import TOKEN, URL, WRONG, numbers, refused, report, same  # noqa: E402


def model(token=TOKEN, **more):
    return LLM(model="openai/default", base_url=f"{URL}/openai/v1", api_key=token, **more)


def whole():
    same(model().call("count 20 at 100/s").strip(), numbers(20).strip())


def streamed():
    chunks = []
    with crewai_event_bus.scoped_handlers():

        @crewai_event_bus.on(LLMStreamChunkEvent)
        def keep(_source, event):
            chunks.append(event.chunk)

        answer = model(stream=True).call("count 40 at 50/s")
        crewai_event_bus.flush()
    same(answer.strip(), numbers(40).strip())
    # The bus does not keep the order.
    same(sorted(int(word) for chunk in chunks for word in chunk.split()), list(range(1, 41)), "the pieces")
    return f"{len(chunks)} pieces"


def crew():
    counter = Agent(role="Counter", goal="Count", backstory="You count.", llm=model())
    task = Task(description="count 5", expected_output="Numbers", agent=counter)
    output = Crew(agents=[counter], tasks=[task]).kickoff()
    same(output.raw.strip(), numbers(5).strip())


def wrong_token():
    return refused(lambda: model(WRONG).call("count 3"), Exception)


report(whole, streamed, crew, wrong_token)
