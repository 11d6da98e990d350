// Runs that wait, for the matrix of wires: a prompt over one wire, a worker that the test plays, and what the log has.
import { decodeEvent, type ChatEvent } from '../../src/session/events/chat-event.ts';
import type { NewInput, NewWait } from '../../src/session/waits/new-wait.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { eventually } from '../support/wait-for.ts';
import type { Kind } from './matrix-waits.ts';
import { MATRIX, type Gateway, type Served, type Watching, type WireOfMatrix } from './matrix-wires.ts';

const INPUTS: Readonly<Record<Kind, NewInput>> = {
  approval: { key: 'a', kind: 'approval', toolCallId: 'c', toolName: 'pay', message: 'May I pay?' },
  question: { key: 'q', kind: 'question', message: 'Which size?', choices: ['small', 'large'] },
  tool: { key: 't', kind: 'tool', toolCallId: 'c', toolName: 'look' },
};

/** Streams of these wires stay open while the run waits, and have all its legs. */
export const STAYS_OPEN: readonly string[] = ['native', 'text', 'Agents sessions'];

/** The AG-UI client compares the expiry of an interrupt with its own clock. */
export function clockOfToday(): ManualClock {
  const clock = new ManualClock();
  clock.jumpWall(Date.now() - clock.now());
  return clock;
}

export interface Waiting {
  readonly session: string;
  readonly runId: string;
  /** What the client has that sent the prompt. */
  readonly own: Watching | undefined;
  /** Of the text of the next leg. */
  readonly part: number;
}

interface Bounds extends Omit<NewWait, 'inputs'> {
  /** Is done while the run runs. */
  readonly before?: (session: string, runId: string) => Promise<unknown>;
}

/** A run that has said `one `, has called a tool where the input is about one, and waits. */
export async function ask(
  gateway: Gateway,
  first: WireOfMatrix,
  session: string,
  kind: Kind,
  { before, ...bounds }: Bounds = {},
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
  await before?.(session, runId);
  await worker.ask({ inputs: [INPUTS[kind]], ...bounds }, new Date(gateway.h.clock.now()).toISOString());
  return { session, runId, own, part: toolCallId === undefined ? 1 : 2 };
}

async function stateOf({ h }: Gateway, session: string): Promise<string | undefined> {
  const loaded = await h.commandLog.load({ tenant: 'default', sessionId: session });
  return loaded?.state.runs[0]?.state;
}

/** The next leg says `two`, and ends the run. @throws the refusal of the answer */
export async function finish(
  gateway: Gateway,
  { session, runId, part }: Waiting,
  answered: Promise<unknown> = Promise.resolve(),
): Promise<void> {
  let refused: unknown;
  answered.catch((error: unknown) => (refused = error));
  await eventually(async () => {
    if (refused instanceof Error) throw refused;
    return (await stateOf(gateway, session)) === 'queued';
  });
  const leg = await FakeRun.take(gateway.h, session, runId);
  await leg.sayIn(part, 'text', 'two');
  await leg.complete();
}

export async function eventsOf({ h }: Gateway, session: string): Promise<ChatEvent[]> {
  const result = await h.broker.read(chatTopic({ tenant: 'default', sessionId: session }), 'earliest');
  if (result.kind !== 'batch') throw new Error(`the chat is ${result.kind}`);
  return result.items.flatMap((item) => (item.kind === 'record' ? (decodeEvent(item.data) ?? []) : []));
}

export async function readAll(
  gateway: Served,
  { session, runId }: Pick<Waiting, 'session' | 'runId'>,
): Promise<[string, string][]> {
  const texts: [string, string][] = [];
  for (const wire of MATRIX) if (wire.read) texts.push([wire.name, await wire.read(gateway, session, runId)]);
  return texts;
}
