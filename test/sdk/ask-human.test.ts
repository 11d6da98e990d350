// An agent's own code that asks a human: it returns, and is called again with the answer.
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { InputReply } from '../../src/session/events/wait-events.ts';
import { Inputs } from '../../src/session/inputs.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import type { AgentChat, AgentHandler } from '../../src/sdk/agent-handler.ts';
import type { AgentWriter } from '../../src/sdk/agent-writer.ts';
import { eventually } from '../support/wait-for.ts';
import { answerOne } from '../support/waiting-run.ts';
import { AgentRig, Latch } from './agent-rig.ts';

let rig: AgentRig;
let inputs: Inputs;

beforeEach(() => {
  rig = new AgentRig();
  const { broker, clock } = rig;
  const onError = (error: unknown): never => {
    throw error;
  };
  inputs = new Inputs({ broker, log: new CommandLog(broker, Math.random), clock, onError });
});

afterEach(() => rig.close());

/** The ids of the inputs that are open, once there are some. */
async function open(): Promise<readonly string[]> {
  let ids: readonly string[] = [];
  await eventually(async () => {
    ids = (await inputs.listOpen(rig.you, rig.trip)).map(({ inputId }) => inputId);
    return ids.length > 0;
  });
  return ids;
}

async function reply(given: InputReply): Promise<void> {
  for (const inputId of await open()) await answerOne(inputs, rig.you, rig.trip, inputId, given);
}

/** Asks before it sends. */
const mailer: AgentHandler = async (chat, writer) => {
  if (chat.leg === 0) {
    await writer.text('I wrote this. ');
    await writer.toolCall({ id: 'c1', name: 'send', arguments: { to: 'Ada' } });
    return writer.askHuman([
      { key: 'send', kind: 'approval', toolCallId: 'c1', toolName: 'send', message: 'Send it?' },
    ]);
  }
  const answer = chat.answer('send');
  if (answer?.approved !== true) {
    await writer.toolError('c1', 'refused');
    return writer.text(`Not sent: ${answer?.reason ?? 'no reason'}.`);
  }
  await writer.toolResult('c1', { sent: true });
  return writer.text('Sent.');
};

it('a handler that asks is called again with the answer, and writes the result of its earlier call', async () => {
  rig.startWorker({ mailer });
  await rig.prompt('mailer', 'write to Ada');
  await reply({ approved: true });
  const { content, status, parts } = await rig.answer();
  expect(status).toBe('completed');
  expect(content).toBe('I wrote this. Sent.');
  expect(parts?.find(({ kind }) => kind === 'tool-call')).toMatchObject({ toolCallId: 'c1', result: { sent: true } });
  expect(rig.defects).toEqual([]);
});

it('a handler is told who refused, and why', async () => {
  let seen: unknown;
  rig.startWorker({
    mailer: (chat, writer, signal) => {
      seen = chat.answer('send');
      return mailer(chat, writer, signal);
    },
  });
  await rig.prompt('mailer', 'write to Ada');
  await reply({ approved: false, reason: 'too long' });
  expect((await rig.answer()).content).toBe('I wrote this. Not sent: too long.');
  expect(seen).toEqual({ kind: 'approval', approved: false, reason: 'too long', by: 'you' });
});

it('a handler may ask in each leg, and finds all its answers, its prompt and its messages', async () => {
  const seen: unknown[] = [];
  const handler: AgentHandler = async (chat, writer) => {
    const answers = ['name', 'age', 'other'].map((key) => chat.answer(key)?.value);
    seen.push([chat.leg, chat.prompt, ...answers, chat.messages.map(({ role }) => role)]);
    await writer.text(`Leg ${chat.leg}. `);
    if (chat.leg === 0) return writer.askHuman([{ key: 'name', kind: 'question' }]);
    if (chat.leg === 1) return writer.askHuman([{ key: 'age', kind: 'question' }]);
    return undefined;
  };
  rig.startWorker({ handler });
  await rig.prompt('handler', 'who am I?');
  const first = await open();
  await reply({ value: 'Ada' });
  await eventually(async () => (await open())[0] !== first[0]);
  await reply({ value: 36 });
  expect((await rig.answer()).content).toBe('Leg 0. Leg 1. Leg 2. ');
  expect(seen).toEqual([
    [0, 'who am I?', undefined, undefined, undefined, ['user']],
    [1, 'who am I?', 'Ada', undefined, undefined, ['user', 'assistant', 'tool']],
    [2, 'who am I?', 'Ada', 36, undefined, ['user', 'assistant', 'tool', 'assistant', 'tool']],
  ]);
});

it('a handler whose worker is lost before it has asked asks once', async () => {
  const latch = new Latch();
  const stuck: AgentHandler = async (_chat, writer) => {
    await writer.text('I wrote this. ');
    latch.open();
    await new Promise(() => undefined);
  };
  const first = rig.startWorker({ mailer: stuck });
  await rig.prompt('mailer', 'write to Ada');
  await latch.opened;
  await first.close();
  rig.startWorker({ mailer });
  await rig.clock.advance(10);
  expect(await open()).toHaveLength(1);
  await reply({ approved: true });
  expect((await rig.answer()).content).toBe('I wrote this. Sent.');
});

const WRITES: Readonly<Record<string, (writer: AgentWriter) => unknown>> = {
  text: (writer) => writer.text('more'),
  reasoning: (writer) => writer.reasoning('more'),
  toolCall: (writer) => writer.toolCall({ id: 'c2', name: 'more' }),
  toolResult: (writer) => writer.toolResult('c1', 1),
  toolError: (writer) => writer.toolError('c1', 'more'),
  askHuman: (writer) => writer.askHuman([{ key: 'more', kind: 'question' }]),
};

it.each(Object.entries(WRITES))('%s behind askHuman is refused, and the run fails for it', async (_name, write) => {
  rig.startWorker({
    eager: async (_chat, writer) => {
      await writer.toolCall({ id: 'c1', name: 'send' });
      await writer.askHuman([{ key: 'a', kind: 'question' }]);
      await write(writer);
    },
  });
  await rig.prompt('eager', 'go');
  expect(await rig.answer()).toMatchObject({ status: 'failed', error: { code: 'asked-already' } });
  expect(await inputs.listOpen(rig.you, rig.trip)).toEqual([]);
});

it.each<[string, (writer: AgentWriter) => unknown, RegExp]>([
  ['no inputs', (writer) => writer.askHuman([]), /from 1 to 16 inputs/],
  ['no list', (writer) => writer.askHuman({} as never), /a list of inputs/],
  ['a null', (writer) => writer.askHuman([null as never]), /a list of inputs/],
  ['no key', (writer) => writer.askHuman([{ kind: 'question' } as never]), /the key of an input/],
  ['another kind', (writer) => writer.askHuman([{ key: 'a', kind: 'poll' as never }]), /approval, question or tool/],
  ['a tool without a call', (writer) => writer.askHuman([{ key: 'a', kind: 'tool' }]), /names its toolCallId/],
  [
    'too short a time',
    (writer) => writer.askHuman([{ key: 'a', kind: 'question' }], { expiresInMs: 1 }),
    /expiresInMs/,
  ],
])('askHuman refuses %s, and says why', async (_name, ask, message) => {
  rig.startWorker({ wrong: (_chat, writer) => ask(writer) as Promise<void> });
  await rig.prompt('wrong', 'go');
  const { status, error } = await rig.answer();
  expect(status).toBe('failed');
  expect(error).toMatchObject({ code: 'invalid-wait', retryable: false });
  expect(error?.message).toMatch(message);
});

it('a handler that throws behind askHuman fails, and asks nothing', async () => {
  rig.startWorker({
    broken: async (_chat, writer) => {
      await writer.askHuman([{ key: 'a', kind: 'question' }]);
      throw new Error('a defect');
    },
  });
  await rig.prompt('broken', 'go');
  expect(await rig.answer()).toMatchObject({ status: 'failed', error: { code: 'agent-failed' } });
  expect(await inputs.listOpen(rig.you, rig.trip)).toEqual([]);
});

it('a handler that another agent asked can ask no human, and the agent that asked it learns why', async () => {
  rig.startWorker({
    parent: async (chat: AgentChat, writer: AgentWriter) => writer.text(await (await chat.ask('mailer', 'go')).answer),
    mailer,
  });
  await rig.prompt('parent', 'go');
  const { status, error } = await rig.answer();
  expect(status).toBe('failed');
  expect(error).toMatchObject({ code: 'ask-failed', message: 'mailer failed: no-human' });
});

it('a call that the client executes is asked for as a tool, and its result comes back', async () => {
  rig.startWorker({
    finder: async (chat, writer) => {
      if (chat.leg > 0) return writer.text(`In ${JSON.stringify(chat.answer('place')?.result)}.`);
      await writer.toolCall({ id: 'c1', name: 'locate', executor: 'client' });
      return writer.askHuman([{ key: 'place', kind: 'tool', toolCallId: 'c1', toolName: 'locate' }]);
    },
  });
  await rig.prompt('finder', 'where?');
  await reply({ result: { city: 'Turin' } });
  const { content, parts } = await rig.answer();
  expect(content).toBe('In {"city":"Turin"}.');
  expect(parts?.[0]).toMatchObject({ kind: 'tool-call', executor: 'client' });
});

it('a handler receives the options that it declares, in each leg', async () => {
  const seen: unknown[] = [];
  const handler: AgentHandler = (chat, writer) => {
    seen.push(chat.options);
    return chat.leg === 0 ? writer.askHuman([{ key: 'a', kind: 'approval' }]) : writer.text('done');
  };
  rig.startWorker({ able: { handler, allow: ['temperature'] }, plain: handler });
  const options = { temperature: 0.5 };
  const prompt = { content: 'go', model: '', priority: 'normal', onBusy: 'queue', options } as const;
  await rig.runs.send(rig.you, rig.trip, { ...prompt, agent: 'able' });
  await reply({ approved: true });
  expect(await rig.answer()).toMatchObject({ status: 'completed', content: 'done' });
  expect(seen).toEqual([options, options]);
  await rig.runs.send(rig.you, rig.trip, { ...prompt, agent: 'plain' });
  await eventually(async () => (await rig.answer()).status === 'failed');
  expect(await rig.answer()).toMatchObject({ error: { code: 'option-refused' } });
  expect(seen).toHaveLength(2);
});
