// What a model receives of the attachments of a chat.
import { afterEach, describe, expect, it } from 'vitest';
import { Attachments } from '../../src/session/attachments/attachments.ts';
import type { JsonObject } from '../../src/session/events/chat-event.ts';
import type { Agent } from '../../src/worker/agent.ts';
import { REQUEST_ATTACHMENT_BYTES_MAX } from '../../src/worker/conversation/attached-content.ts';
import { ChatRig, type PlayedCall } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

let rig: ChatRig;
let attachments: Attachments;

async function setup(agent: Partial<Agent> = {}): Promise<void> {
  rig = new ChatRig({ agent });
  let ids = 0;
  const newId = (): string => `file${(ids += 1)}`;
  attachments = new Attachments(rig.broker.blobs, rig.log, rig.clock, newId, { sessionBytesMax: 2 ** 30 });
  await rig.sessions.create(rig.alice, rig.ref, {});
  rig.startWorker();
}

afterEach(() => rig.close());

async function upload(mediaType: string, bytes: Buffer, name = 'a'): Promise<JsonObject> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield* [bytes];
  }
  const request = { name, mediaType, bytes: bytes.length };
  const { attachmentId } = await attachments.upload(rig.alice, rig.ref, request, pieces());
  return { type: 'attachment', attachmentId };
}

async function ask(...parts: JsonObject[]): Promise<void> {
  const { content, uploads } = await attachments.resolve(rig.alice, rig.ref, parts);
  await rig.prompt('', { content, uploads });
}

async function told(...parts: JsonObject[]): Promise<PlayedCall['request']['messages']> {
  const at = rig.model.calls.length;
  await ask(...parts);
  const call = await rig.model.call(at);
  call.say('an answer', { type: 'finish', reason: 'stop' });
  await eventually(async () => (await rig.seen()).filter(({ type }) => type === 'run.completed').length === at + 1);
  return call.request.messages;
}

async function failure(): Promise<unknown> {
  await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.failed'));
  return (await rig.seen()).find(({ type }) => type === 'run.failed')?.data['error'];
}

describe('a model receives', () => {
  it('a text as text, with its name, whole also where a chunk ends inside a character', async () => {
    await setup({ conversationChars: 5_000_000 });
    const text = `x${'€'.repeat(200_000)}`;
    const file = await upload('text/plain', Buffer.from(text), 'a.txt');
    expect(await told({ type: 'text', text: 'see' }, file)).toEqual([
      { role: 'user', content: `see\n\na.txt:\n\n${text}` },
    ]);
  });

  it.each([
    ['image/png', (data: string) => ({ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } })],
    ['audio/mpeg', (data: string) => ({ type: 'input_audio', input_audio: { data, format: 'mp3' } })],
    [
      'application/pdf',
      (data: string) => ({ type: 'file', file: { filename: 'a', file_data: `data:application/pdf;base64,${data}` } }),
    ],
  ])('%s in the form that servers know', async (type, expected) => {
    await setup();
    const bytes = Buffer.from(Array.from({ length: 300_001 }, (_, i) => i & 0xff));
    const parts = [{ type: 'text', text: 'see' }, await upload(type, bytes)];
    expect(await told(...parts)).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'see' }, expected(bytes.toString('base64'))] },
    ]);
  });

  it('the attachments of earlier messages too, as far as its budget goes', async () => {
    await setup({ conversationChars: 15_500 });
    await told(await upload('text/plain', Buffer.from('x'.repeat(15_000))));
    await told(await upload('image/png', Buffer.alloc(100_000)));
    const [first, ...rest] = await told({ type: 'text', text: 'and now?' });
    expect(JSON.stringify(first)).toContain('data:image/png');
    expect(rest.length).toBe(2);
  });

  it('a note in place of what an earlier message has lost, or of what exceeds the bytes of one request', async () => {
    await setup({ conversationChars: 100_000 });
    const picture = await upload('image/png', Buffer.alloc(10), 'lost.png');
    await told(picture);
    await told(await upload('image/png', Buffer.alloc(8_000_000), 'large.png'));
    const [owner] = (await rig.broker.blobs.owners(1)).owners;
    if (owner !== undefined) await rig.broker.blobs.remove(owner, String(picture['attachmentId']));
    const messages = await told(await upload('image/png', Buffer.alloc(REQUEST_ATTACHMENT_BYTES_MAX - 1_000_000)));
    expect(messages[0]?.content).toBe('[lost.png (image/png, 10 bytes) is left out here]');
    expect(messages[2]?.content).toBe('[large.png (image/png, 8000000 bytes) is left out here]');
    expect(JSON.stringify(messages[4]?.content)).toContain('data:image/png');
  });
});

describe('a run fails', () => {
  it('if an attachment of its own prompt is lost', async () => {
    await setup();
    const file = await upload('image/png', Buffer.alloc(10));
    const { content, uploads } = await attachments.resolve(rig.alice, rig.ref, [file]);
    const [owner] = (await rig.broker.blobs.owners(1)).owners;
    if (owner !== undefined) await rig.broker.blobs.remove(owner, String(file['attachmentId']));
    await rig.prompt('', { content, uploads });
    expect(await failure()).toMatchObject({ code: 'attachment-lost', retryable: false });
  });

  it('if its prompt has more bytes of attachments than one request may have', async () => {
    await setup();
    const half = Buffer.alloc(REQUEST_ATTACHMENT_BYTES_MAX / 2 + 1);
    await ask(await upload('image/png', half), await upload('image/png', half));
    expect(await failure()).toMatchObject({ code: 'content-too-large', retryable: false });
  });

  it('if the text of an attachment is longer than the agent takes', async () => {
    await setup({ promptCharsMax: 1000 });
    await ask(await upload('text/csv', Buffer.from('x'.repeat(1001))));
    expect(await failure()).toMatchObject({ code: 'content-too-large' });
  });
});
