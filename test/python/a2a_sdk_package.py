"""`a2a-sdk`: an agent over JSON-RPC and over REST."""

import httpx
from a2a.client import A2AClientError, Client, ClientConfig, create_client
from a2a.helpers import get_artifact_text, new_text_message
from a2a.types import CancelTaskRequest, GetTaskRequest, Role, SendMessageRequest, SubscribeToTaskRequest, TaskState
from a2a.utils.errors import A2AError

from lane import BEARER, URL, WRONG, a_refused, is_part, new_id, numbers, report, same

AGENT = f"{URL}/a2a/default/"


async def connect(binding="JSONRPC", headers=BEARER, streaming=True) -> Client:
    http = httpx.AsyncClient(headers=headers, timeout=60)
    config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], streaming=streaming)
    return await create_client(AGENT, client_config=config)


def asked(text, context="") -> SendMessageRequest:
    message = new_text_message(text, context_id=context or None, role=Role.ROLE_USER)
    return SendMessageRequest(message=message)


class Told:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self.texts = {}
        self.state = TaskState.TASK_STATE_UNSPECIFIED
        self.task_id = ""

    def add(self, frame) -> None:
        if frame.HasField("task"):
            self.task_id = frame.task.id
            self.state = frame.task.status.state
            self.texts = {one.artifact_id: get_artifact_text(one) for one in frame.task.artifacts}
        elif frame.HasField("artifact_update"):
            update = frame.artifact_update
            key = update.artifact.artifact_id
            before = self.texts.get(key, "") if update.append else ""
            self.texts[key] = before + get_artifact_text(update.artifact)
        elif frame.HasField("status_update"):
            self.state = frame.status_update.status.state

    @property
    def text(self) -> str:
        return "".join(self.texts.values())


async def told(frames, until=lambda told: False) -> Told:
    heard = Told()
    async for frame in frames:
        heard.add(frame)
        if until(heard):
            break
    return heard


async def whole():
    client = await connect(streaming=False)
    heard = await told(client.send_message(asked("count 20 at 100/s")))
    same(heard.text, numbers(20))
    same(heard.state, TaskState.TASK_STATE_COMPLETED, "the state")


async def streamed():
    client = await connect()
    heard = await told(client.send_message(asked("count 40 at 50/s")))
    same(heard.text, numbers(40))
    same(heard.state, TaskState.TASK_STATE_COMPLETED, "the state")


async def streamed_over_rest():
    client = await connect("HTTP+JSON")
    heard = await told(client.send_message(asked("count 40 at 50/s")))
    same(heard.text, numbers(40))


async def second_turn():
    client = await connect()
    context = new_id()
    for count in (4, 6):
        same((await told(client.send_message(asked(f"count {count}", context)))).text, numbers(count))


async def resume():
    client = await connect()
    heard = await told(client.send_message(asked("count 60 at 40/s")), lambda told: len(told.text) > 30)
    rest = await told(client.subscribe(SubscribeToTaskRequest(id=heard.task_id)))
    same(rest.text, numbers(60))
    task = await client.get_task(GetTaskRequest(id=heard.task_id))
    same("".join(get_artifact_text(one) for one in task.artifacts), numbers(60), "the task")


async def stop():
    client = await connect()
    heard = await told(client.send_message(asked("count 5000 at 50/s")), lambda told: len(told.text) > 30)
    task = await client.cancel_task(CancelTaskRequest(id=heard.task_id))
    same(task.status.state, TaskState.TASK_STATE_CANCELED, "the state")
    is_part("".join(get_artifact_text(one) for one in task.artifacts), 5000)


async def wrong_token():
    client = await connect(headers={"authorization": f"Bearer {WRONG}"})

    async def call():
        await told(client.send_message(asked("count 3")))

    return await a_refused(call, A2AClientError, A2AError, httpx.HTTPStatusError)


report(whole, streamed, streamed_over_rest, second_turn, resume, stop, wrong_token)
