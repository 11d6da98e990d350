// A page with ai 7 over its default transport, started by test/wires/node24.test.ts under Node 24.
import assert from 'node:assert/strict';
import { DefaultChatTransport } from 'ai';
import { ask, end, tell as tellFields, until } from './ask.mjs';
import { Chat, textOf } from './chat-page.mjs';

const { BASE_URL = '', TOKEN = '' } = process.env;
const headers = { authorization: `Bearer ${TOKEN}` };

/** `cut`: bytes after which the first response breaks. */
function open(id, cut) {
  let left = cut;
  const transport = new DefaultChatTransport({
    api: `${BASE_URL}/api/chat`,
    headers,
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      const bytes = left;
      left = undefined;
      return bytes === undefined ? response : cutShort(response, bytes);
    },
  });
  return new Chat({ id, transport });
}

function cutShort(response, bytes) {
  let left = bytes;
  const body = response.body.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        if (chunk.length < left) controller.enqueue(chunk);
        else controller.error(new TypeError('network error'));
        left -= chunk.length;
      },
    }),
  );
  return new Response(body, response);
}

function tell(what, chat) {
  tellFields({ what, status: chat.status, text: textOf(chat), messages: chat.messages.length });
}

const whole = open('whole');
for (let turn = 1; turn <= 2; turn += 1) {
  const sent = whole.sendMessage({ text: `prompt ${turn}` });
  await until(() => textOf(whole) === 'Hello ' && whole.messages.length === 2 * turn);
  await ask('continue');
  await sent;
  tell(`turn ${turn}`, whole);
}

const cut = open('cut', 300);
const broken = cut.sendMessage({ text: 'go' });
const second = open('cut');
await until(() => cut.messages.length > 0);
await until(() => textOf(cut) !== '' || cut.status === 'error');
const watched = second.resumeStream();
await until(() => textOf(second) === 'Hello ');
await ask('continue');
await broken;
if (cut.status === 'error') await cut.resumeStream();
await watched;
tell('cut', cut);
tell('second', second);
assert.deepEqual(second.lastMessage, cut.lastMessage);

const stopped = open('stop');
const sent = stopped.sendMessage({ text: 'go' });
await until(() => textOf(stopped) === 'Hello ');
const response = await fetch(`${BASE_URL}/api/chat/stop/stop`, {
  method: 'POST',
  headers: { ...headers, 'content-type': 'application/json' },
  body: '{}',
});
assert.equal(response.status, 202);
await sent;
tell('stop', stopped);
end();
