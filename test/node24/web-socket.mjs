// Pages with ai 7 over its `WebSocketChatTransport`, started by test/wires/ai-sdk/web-socket.test.ts under Node 24. The
// test is the worker of each chat: `ask('say', chat, …)` and so on.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses, WebSocketChatTransport } from 'ai';
import { ask, end, tell as tellFields, until } from './ask.mjs';
import { Chat, textOf } from './chat-page.mjs';

const { WS_URL = '', BASE_URL = '', TOKEN = '', SEED = '1' } = process.env;
const bearer = (token) => ({ authorization: `Bearer ${token}` });

const transports = new Set();

function open(id, { url = WS_URL, params, headers = bearer(TOKEN), body, messages, transport: given } = {}) {
  const transport = given ?? new WebSocketChatTransport({ url, params, headers, body });
  transports.add(transport);
  return Object.assign(new Chat({ id, messages, transport }), { pageTransport: transport });
}

function tell(what, chat) {
  const { status, error, messages } = chat;
  tellFields({ what, status, text: textOf(chat), messages: messages.length, ...(error && { error: error.message }) });
}

async function stop(id) {
  const response = await fetch(`${BASE_URL}/api/chat/${id}/stop`, {
    method: 'POST',
    headers: { ...bearer(TOKEN), 'content-type': 'application/json' },
    body: '{}',
  });
  assert.equal(response.status, 202);
}

/** A way to the gateway that breaks after this many bytes of it. */
async function breakingAfter(bytes) {
  const { hostname, port } = new URL(WS_URL);
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let left = bytes;
    upstream.on('data', (data) => {
      client.write(data.subarray(0, Math.max(0, left)));
      left -= data.length;
      if (left > 0) return;
      client.destroySoon();
      upstream.destroy();
    });
    client.on('data', (data) => upstream.write(data));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ])
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  const url = new URL(WS_URL);
  url.port = String(server.address().port);
  return url.href;
}

function randomOf(seed) {
  let state = Number(seed) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

async function wholeAnswers() {
  const chat = open('whole');
  for (let turn = 1; turn <= 2; turn += 1) {
    const sent = chat.sendMessage({ text: `prompt ${turn}` });
    await ask('take', 'whole');
    await ask('say', 'whole', 'Hello ');
    await until(() => textOf(chat) === 'Hello ' && chat.status === 'streaming');
    await ask('say', 'whole', `number ${turn}`);
    await ask('complete', 'whole');
    await sent;
    tell(`turn ${turn}`, chat);
  }
}

async function cutAndResumed() {
  const random = randomOf(SEED);
  const words = ['Hello ', 'Wörld 🌍, ', 'this is ', 'an answer.'];
  for (let place = 0; place < 24; place += 1) {
    const id = `cut-${place}`;
    const bytes = 130 + Math.floor(random() * 1_400);
    const transport = new WebSocketChatTransport({ url: await breakingAfter(bytes), headers: bearer(TOKEN) });
    const chat = open(id, { transport });
    const sent = chat.sendMessage({ text: 'go' });
    const isTaken = await Promise.race([ask('take', id).then(() => true), sent.then(() => chat.status !== 'error')]);
    assert.ok(isTaken !== undefined);
    await ask('say', id, ...words.slice(0, 2));
    await Promise.race([sent, until(() => textOf(chat) === words.slice(0, 2).join(''))]);
    await ask('say', id, ...words.slice(2));
    const isLate = random() < 0.5;
    if (!isLate) await ask('complete', id);
    if (!isLate) await sent;
    else await Promise.race([sent, until(() => textOf(chat) === words.join(''))]);
    const wasCut = chat.status === 'error';
    // The page comes back on another way.
    const back = wasCut ? open(id, { messages: structuredClone(chat.messages) }) : chat;
    const resumed = wasCut ? back.resumeStream() : sent;
    if (wasCut && isLate) await until(() => textOf(back) === words.join(''));
    if (isLate) await ask('complete', id);
    await resumed;
    if (back === chat && chat.status === 'error') {
      const again = open(id, { messages: structuredClone(chat.messages) });
      await again.resumeStream();
      assert.equal(textOf(again), words.join(''), `cut after ${bytes} bytes`);
      tellFields({ what: 'cut', wasCut: true });
      continue;
    }
    assert.deepEqual(
      [back.status, textOf(back), back.messages.length],
      ['ready', words.join(''), 2],
      `cut after ${bytes} bytes`,
    );
    tellFields({ what: 'cut', wasCut });
  }
}

async function secondViewer() {
  const first = open('viewers');
  const sent = first.sendMessage({ text: 'go' });
  await ask('take', 'viewers');
  await ask('say', 'viewers', 'Hello ');
  await until(() => textOf(first) === 'Hello ');
  const second = open('viewers', { messages: structuredClone(first.messages.slice(0, 1)) });
  const resumed = second.resumeStream();
  await until(() => textOf(second) === 'Hello ');
  await ask('say', 'viewers', 'you.');
  await ask('complete', 'viewers');
  await Promise.all([sent, resumed]);
  assert.deepEqual(second.messages, first.messages);
  tell('second viewer', second);
}

async function stopped() {
  const first = open('stop');
  const sent = first.sendMessage({ text: 'go' });
  await ask('take', 'stop');
  await ask('say', 'stop', 'Hello ');
  const second = open('stop');
  const resumed = second.resumeStream();
  await until(() => textOf(first) === 'Hello ' && textOf(second) === 'Hello ');
  await stop('stop');
  await ask('cancelled', 'stop');
  await Promise.all([sent, resumed]);
  tell('stopped', first);
  tell('stopped, seen by another', second);
}

async function leftAndReadLater() {
  const chat = open('left');
  const sent = chat.sendMessage({ text: 'go' });
  await ask('take', 'left');
  await ask('say', 'left', 'Hello ');
  await until(() => textOf(chat) === 'Hello ');
  await chat.stop();
  await sent;
  await ask('say', 'left', 'you.');
  await ask('complete', 'left');
  await chat.resumeStream();
  tell('read later', chat);
  const page = open('left', { body: { have: chat.lastMessage.id } });
  await page.resumeStream();
  tell('held already', page);
}

async function failed() {
  const chat = open('fail');
  const sent = chat.sendMessage({ text: 'go' });
  await ask('take', 'fail');
  await ask('say', 'fail', 'Hello ');
  await ask('fail', 'fail');
  await sent;
  tell('failed', chat);
}

async function wrongToken() {
  let token = TOKEN;
  const transport = new WebSocketChatTransport({ url: WS_URL, headers: () => bearer(token) });
  const good = open('good', { transport });
  const sent = good.sendMessage({ text: 'go' });
  await ask('take', 'good');
  await ask('say', 'good', 'Hello ');
  await until(() => textOf(good) === 'Hello ');
  token = 'nonsense';
  const bad = open('bad', { transport });
  await bad.sendMessage({ text: 'go' });
  tell('wrong token', bad);
  await ask('say', 'good', 'you.');
  await ask('complete', 'good');
  await sent;
  tell('beside a wrong token', good);
}

async function takenOver() {
  const same = open('same');
  let sent = same.sendMessage({ text: 'go' });
  await ask('take', 'same');
  await ask('say', 'same', 'Hello ', 'you.');
  await until(() => textOf(same) === 'Hello you.');
  await ask('takeOver', 'same', 0);
  await ask('say', 'same', 'Hello you. ', 'Bye.');
  await ask('complete', 'same');
  await sent;
  tell('takeover, same text', same);
  const other = open('other');
  sent = other.sendMessage({ text: 'go' });
  await ask('take', 'other');
  await ask('say', 'other', 'Hello ', 'you.');
  await until(() => textOf(other) === 'Hello you.');
  await ask('takeOver', 'other', 0);
  await ask('say', 'other', 'Hello there.');
  await ask('complete', 'other');
  await sent;
  tell('takeover, other text', other);
  assert.deepEqual(
    other.lastMessage.parts.map(({ type }) => type),
    ['step-start', 'text'],
  );
}

async function waited() {
  for (const [what, transport] of [
    ['socket', undefined],
    ['http', new DefaultChatTransport({ api: `${BASE_URL}/api/chat`, headers: bearer(TOKEN) })],
  ]) {
    const id = `waited-${what}`;
    const given = transport ?? new WebSocketChatTransport({ url: WS_URL, headers: bearer(TOKEN) });
    const chat = new Chat({
      id,
      transport: given,
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    });
    const sent = chat.sendMessage({ text: 'book it' });
    await ask('askApproval', id);
    await sent;
    const { approval, state } = chat.lastMessage.parts.at(-1);
    tell(`${what}: ${state}`, chat);
    void chat.addToolApprovalResponse({ id: approval.id, approved: true });
    await ask('finishLeg', id);
    await until(() => chat.status === 'ready' && textOf(chat) === 'Booking. Done.');
    tell(`${what}: ${chat.lastMessage.parts[2].state}`, chat);
    const late = new Chat({ id, transport: given });
    await late.resumeStream();
    assert.deepEqual(textOf(late), textOf(chat));
    given.close?.();
  }
}

async function abortStops() {
  const chat = open('abort', { params: { abort: 'stop' } });
  const sent = chat.sendMessage({ text: 'go' });
  await ask('take', 'abort');
  await ask('say', 'abort', 'Hello ');
  await until(() => textOf(chat) === 'Hello ');
  await chat.stop();
  await sent;
  await ask('untilCancelling', 'abort');
  await ask('cancelled', 'abort');
  tell('abort stops', chat);
}

const scenarios = {
  wholeAnswers,
  cutAndResumed,
  secondViewer,
  stopped,
  leftAndReadLater,
  failed,
  wrongToken,
  takenOver,
  waited,
  abortStops,
};
await scenarios[process.env.SCENARIO]();
for (const transport of transports) transport.close();
end();
