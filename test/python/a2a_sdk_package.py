"""`a2a-sdk`: an agent over JSON-RPC and over REST."""

import httpx
from a2a.client import A2AClientError, Client, ClientConfig, create_client
from a2a.helpers import get_artifact_text, get_data_parts, new_data_part, new_message, new_text_message
from a2a.types import CancelTaskRequest, GetTaskRequest, Role, SendMessageRequest, SubscribeToTaskRequest, TaskState
from a2a.utils.errors import A2AError

from lane import BEARER, URL, WRONG, a_refused, is_part, new_id, numbers, report, same
from waits import APPROVAL, MAIL_SENT, MAIL_WRITTEN, COLOUR_NEEDED, PLACE, PLACE_NEEDED, QUESTION, TOOL, given

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
        self.status = None
        self.task_id = ""
        self.context_id = ""

    def add(self, frame) -> None:
        if frame.HasField("task"):
            self.task_id = frame.task.id
            self.context_id = frame.task.context_id
            self._take(frame.task.status)
            self.texts = {one.artifact_id: get_artifact_text(one) for one in frame.task.artifacts}
        elif frame.HasField("artifact_update"):
            update = frame.artifact_update
            key = update.artifact.artifact_id
            before = self.texts.get(key, "") if update.append else ""
            self.texts[key] = before + get_artifact_text(update.artifact)
        elif frame.HasField("status_update"):
            self._take(frame.status_update.status)

    def _take(self, status) -> None:
        self.status = status
        self.state = status.state

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


async def _asked(client, prompt, said):
    """A task that has said this and waits, and the one input that it has."""
    heard = await told(client.send_message(asked(prompt)))
    same([heard.state, heard.text], [TaskState.TASK_STATE_INPUT_REQUIRED, said], "the task")
    [data] = get_data_parts(heard.status.message.parts)
    return heard, data


def _answering(heard, part=None, text=None) -> SendMessageRequest:
    ids = {"context_id": heard.context_id, "task_id": heard.task_id, "role": Role.ROLE_USER}
    return SendMessageRequest(message=new_text_message(text, **ids) if part is None else new_message([part], **ids))


async def wait_for_an_approval():
    client = await connect()
    heard, data = await _asked(client, APPROVAL, MAIL_WRITTEN)
    same([data["kind"], data["toolName"]], ["approval", "send_mail"], "the input")
    answer = new_data_part({"inputId": data["inputId"], "approved": True})
    rest = await told(client.send_message(_answering(heard, answer)))
    same([rest.task_id, rest.text], [heard.task_id, MAIL_WRITTEN + MAIL_SENT], "the task")
    same(rest.state, TaskState.TASK_STATE_COMPLETED, "the state")


async def wait_for_an_answer_over_rest():
    client = await connect("HTTP+JSON")
    heard, data = await _asked(client, QUESTION, COLOUR_NEEDED)
    same(list(data["choices"]), ["red", "green", "blue"], "the choices")
    rest = await told(client.send_message(_answering(heard, text="red")))
    same(rest.text, COLOUR_NEEDED + given("red"))


async def wait_for_a_tool_without_a_stream():
    client = await connect(streaming=False)
    heard, data = await _asked(client, TOOL, PLACE_NEEDED)
    answer = new_data_part({"inputId": data["inputId"], "result": PLACE})
    rest = await told(client.send_message(_answering(heard, answer)))
    same([rest.state, rest.text], [TaskState.TASK_STATE_COMPLETED, PLACE_NEEDED + given(PLACE)], "the task")


async def stop_while_it_waits():
    client = await connect()
    heard, data = await _asked(client, QUESTION, COLOUR_NEEDED)
    task = await client.cancel_task(CancelTaskRequest(id=heard.task_id))
    same(task.status.state, TaskState.TASK_STATE_CANCELED, "the state")


async def wrong_token():
    client = await connect(headers={"authorization": f"Bearer {WRONG}"})

    async def call():
        await told(client.send_message(asked("count 3")))

    return await a_refused(call, A2AClientError, A2AError, httpx.HTTPStatusError)


report(
    whole,
    streamed,
    streamed_over_rest,
    second_turn,
    resume,
    stop,
    wait_for_an_approval,
    wait_for_an_answer_over_rest,
    wait_for_a_tool_without_a_stream,
    stop_while_it_waits,
    wrong_token,
)
