// Runs that wait for a human, across the wires, each with its real client: asked over one, shown and answered over any
// other, answered twice at once on two nodes, expired, and stopped.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeEvent, type ChatEvent } from '../../src/session/events/chat-event.ts';
import type { NewInput } from '../../src/session/waits/new-wait.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { tableRows } from '../support/markdown-pages.ts';
import { eventually } from '../support/wait-for.ts';
import { textOfReply, WAITS, type Kind, type Reply, type WireOfWaits } from './matrix-waits.ts';
import { MATRIX, startGateway, type Gateway, type Watching, type WireOfMatrix } from './matrix-wires.ts';

const KINDS: readonly Kind[] = ['approval', 'question', 'tool'];
const INPUTS: Readonly<Record<Kind, NewInput>> = {
  approval: { key: 'a', kind: 'approval', toolCallId: 'c', toolName: 'pay', message: 'May I pay?' },
  question: { key: 'q', kind: 'question', message: 'Which size?', choices: ['small', 'large'] },
  tool: { key: 't', kind: 'tool', toolCallId: 'c', toolName: 'look' },
};
const REPLIES: Readonly<Record<Kind, Reply>> = { approval: true, question: 'large', tool: { seen: 'a chair' } };

/** As the agent gets a reply. */
function givenOf(kind: Kind, { givesText }: WireOfWaits): Readonly<Record<string, unknown>> {
  const reply = REPLIES[kind];
  if (kind === 'approval') return { approved: reply };
  return kind === 'question' ? { value: reply } : { result: givesText === true ? textOfReply(reply) : reply };
}

const starts = MATRIX.filter((wire) => wire.start !== undefined);

/** Streams of these wires stay open while the run waits, and have all its legs. */
const STAYS_OPEN: readonly string[] = ['native', 'text', 'Chat Completions', 'Responses', 'Agents sessions'];

const idOf = ({ name }: { readonly name: string }): string => name.replaceAll(' ', '-').toLowerCase();

/** The AG-UI client compares the expiry of an interrupt with its own clock. */
function clockOfToday(): ManualClock {
  const clock = new ManualClock();
  clock.jumpWall(Date.now() - clock.now());
  return clock;
}

interface Waiting {
  readonly session: string;
  readonly runId: string;
  /** What the client has that sent the prompt. */
  readonly own: Watching | undefined;
  /** Of the text of the next leg. */
  readonly part: number;
}

/** A run that has said `one `, has called a tool where the input is about one, and waits. */
async function ask(
  gateway: Gateway,
  first: WireOfMatrix,
  session: string,
  kind: Kind,
  onExpiry?: 'fail',
): Promise<Waiting> {
  const own = await first.start?.(gateway, session);
  const worker = await gateway.work(session);
  const { runId } = worker.run;
  await worker.say('one ');
  const { toolCallId, toolName } = INPUTS[kind];
  if (toolCallId !== undefined && toolName !== undefined) {
    const executor = kind === 'tool' ? 'client' : 'agent';
    await worker.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', toolCallId, toolName, executor });
    await worker.sayIn(1, 'tool-call', '{}');
  }
  const wait = { inputs: [INPUTS[kind]], ...(onExpiry === undefined ? {} : { onExpiry }) };
  await worker.ask(wait, new Date(gateway.h.clock.now()).toISOString());
  return { session, runId, own, part: toolCallId === undefined ? 1 : 2 };
}

async function stateOf({ h }: Gateway, session: string): Promise<string | undefined> {
  const loaded = await h.commandLog.load({ tenant: 'default', sessionId: session });
  return loaded?.state.runs[0]?.state;
}

/** The next leg says `two`, and ends the run. */
async function finish(gateway: Gateway, { session, runId, part }: Waiting, failure: Promise<unknown>): Promise<void> {
  let refused: unknown;
  failure.catch((error: unknown) => (refused = error));
  await eventually(async () => {
    if (refused instanceof Error) throw refused;
    return (await stateOf(gateway, session)) === 'queued';
  });
  const leg = await FakeRun.take(gateway.h, session, runId);
  await leg.sayIn(part, 'text', 'two');
  await leg.complete();
}

async function eventsOf({ h }: Gateway, session: string): Promise<ChatEvent[]> {
  const result = await h.broker.read(chatTopic({ tenant: 'default', sessionId: session }), 'earliest');
  if (result.kind !== 'batch') throw new Error(`the chat is ${result.kind}`);
  return result.items.flatMap((item) => (item.kind === 'record' ? (decodeEvent(item.data) ?? []) : []));
}

async function readAll(gateway: Gateway, { session, runId }: Waiting): Promise<[string, string][]> {
  const texts: [string, string][] = [];
  for (const wire of MATRIX) if (wire.read) texts.push([wire.name, await wire.read(gateway, session, runId)]);
  return texts;
}

const allReading = (text: string): [string, string][] =>
  MATRIX.filter((wire) => wire.read !== undefined).map(({ name }) => [name, text]);

describe.each(starts)('a wait of a run that was started over $name', (first) => {
  it.each(WAITS)(
    'is shown and answered over $name, and the answer has the same text over every wire',
    async (second) => {
      const gateway = await startGateway({ clock: clockOfToday() });
      for (const kind of KINDS) {
        const waiting = await ask(gateway, first, `${idOf(first)}-${idOf(second)}-${kind}`, kind);
        const { own, session } = waiting;
        if (own !== undefined && !STAYS_OPEN.includes(first.name)) await own.ended;
        if (own !== undefined) await eventually(() => own.text() === 'one ');
        const asked = await second.open(gateway, session, waiting.runId);
        expect(asked.kind).toBe(kind);
        const answered = asked.answer(REPLIES[kind]);
        await finish(gateway, waiting, answered);
        expect([kind, await answered]).toEqual([kind, 'one two']);
        const answers = (await eventsOf(gateway, session)).filter(({ type }) => type === 'input.answered');
        expect(answers).toMatchObject([{ ...givenOf(kind, second), by: 'ann' }]);
        if (own !== undefined && STAYS_OPEN.includes(first.name)) {
          await own.ended;
          expect(own.text()).toBe('one two');
        }
        expect(await readAll(gateway, waiting)).toEqual(allReading('one two'));
      }
    },
  );
});

describe('docs/clients/README.md', () => {
  it('says of each wire whether it answers waits, and what becomes of its stream', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/clients/README.md'), 'utf8');
    const streamOf = ({ name, watch, start }: WireOfMatrix): string =>
      watch === undefined && (start === undefined || name === 'MCP')
        ? '–'
        : STAYS_OPEN.includes(name)
          ? 'stays open'
          : 'ends';
    const answers = new Set(WAITS.map(({ name }) => name));
    expect(tableRows(page, 'a run that waits is')).toEqual(
      MATRIX.map((wire) => [wire.name, answers.has(wire.name) ? 'yes' : '–', streamOf(wire)]),
    );
  });
});
