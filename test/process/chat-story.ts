// Chats that go on whatever happens to the servers: users who send, stop and repeat themselves, readers on both wires.
// Afterwards the whole recorded history is judged, and every answer must be what was asked for. What happens is told by
// those who use it.
import { expect } from 'vitest';
import { checkHistory } from '../worlds/checker.ts';
import { History, type Crashed } from '../worlds/history.ts';
import { describeViolations } from '../worlds/violation.ts';
import { readSse } from '../support/sse-reader.ts';
import type { SeenEvent } from '../support/wire-record.ts';
import { readWs } from '../support/ws-reader.ts';
import { backOff, type Entrance } from './entrance.ts';
import { call, tryCall } from './http-call.ts';
import { counted } from './joined-story.ts';
import { LastingReader, type Wire } from './lasting-reader.ts';
import { Moments, type MomentKind } from './moments.ts';
import { PersistentUser, type Prompted } from './persistent-user.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A run is started at most five times, and every kill may cost it one. */
const HITS_MAX = 2;
const WIRES: readonly Wire[] = ['sse', 'ws'];

interface Chat {
  readonly sessionId: string;
  readonly user: PersistentUser;
  readonly readers: readonly [LastingReader, ...LastingReader[]];
}

/** Where every node is asked in the end, by itself. */
export interface Node {
  readonly name: string;
  readonly url: string;
}

export interface ChatStoryOptions {
  readonly server: Entrance;
  readonly token: string;
  readonly random: SeededRandom;
  readonly sessions: number;
  /** What its sessions begin with: one server may have several stories. */
  readonly name?: string;
  /** That the users ask. Default: none is named. */
  readonly agents?: readonly [string, ...string[]];
}

export class ChatStory {
  readonly history = new History();
  readonly random: SeededRandom;
  readonly #options: ChatStoryOptions;
  readonly #moments = new Moments();
  #chats: Chat[] = [];
  #isModelDown = false;

  constructor(options: ChatStoryOptions) {
    this.#options = options;
    this.random = options.random;
  }

  /** The users talk for as long as it takes to do what is to be done to the servers. */
  async play(strike: () => Promise<void>, nodes: () => readonly Node[]): Promise<void> {
    this.#chats = await Promise.all(
      Array.from({ length: this.#options.sessions }, (_, index) =>
        this.#openChat(`${this.#options.name ?? 'chat'}-${index + 1}`),
      ),
    );
    let isOver = false;
    const talking = this.#chats.map(({ user, readers }) => user.talk(readers[0], () => isOver));
    const striking = strike().finally(() => (isOver = true));
    await Promise.all([striking, ...talking]);
    // Its end is seen in the epoch that is left, and the runs of a chat end in turn.
    for (const { user } of this.#chats) await user.prompt();
    await this.#settle();
    for (const node of nodes()) await this.#readFinally(node);
    this.#judge();
  }

  /** Of runs that another worker went on with. */
  get takeovers(): number {
    return this.#chats.flatMap(({ readers }) => readers[0].story.steps.filter(({ event }) => event === 'run.restarted'))
      .length;
  }

  /** Of the readers, who was never told that it has to start over. */
  get neverReset(): readonly string[] {
    const { observations } = this.history;
    const told = new Set(observations.flatMap((one) => (one.kind === 'reset' ? [one.reader] : [])));
    return this.#chats.flatMap(({ readers }) => readers.map(({ name }) => name)).filter((name) => !told.has(name));
  }

  /** Something that may cost a run its worker: noted in the history, and against every run that is not over. */
  hit(what: string, declared: Pick<Crashed, 'changesEpoch'> = {}): void {
    for (const prompt of this.#open()) prompt.hits += 1;
    this.history.record({ kind: 'crash', what, declaresLoss: false, ...declared });
  }

  /** Until it is back, answers may fail. */
  modelDies(): void {
    this.#isModelDown = true;
    for (const prompt of this.#open()) prompt.mayFail = true;
  }

  modelIsBack(): void {
    this.#isModelDown = false;
  }

  async #openChat(sessionId: string): Promise<Chat> {
    const { server, token, agents } = this.#options;
    const shared = { server, token, sessionId, history: this.history, moments: this.#moments, random: this.random };
    const user = new PersistentUser({
      ...shared,
      isModelDown: () => this.#isModelDown,
      ...(agents === undefined ? {} : { agents }),
    });
    // The first write makes the chat, and only then can it be read.
    await user.prompt();
    const readerOn = (wire: Wire): LastingReader =>
      new LastingReader({ ...shared, wire, name: `${sessionId}-${wire}` });
    return { sessionId, user, readers: [readerOn('sse'), readerOn('ws')] };
  }

  /** Some moment from now. */
  async moment(): Promise<void> {
    const { random } = this;
    const kind = random.pick<MomentKind>(['event', 'event', 'send', 'cancel']);
    const count = random.between(1, kind === 'event' ? 200 : 2);
    // A stop may be long in coming.
    await Promise.race([this.#moments.next(count, kind), this.#moments.next(300, 'event')]);
    for (let turns = random.between(0, 20); turns > 0; turns -= 1)
      await new Promise((resolve) => setImmediate(resolve));
  }

  /** Until every reader holds a place that it can lose. */
  async everyoneReads(): Promise<void> {
    for (const { readers } of this.#chats) {
      for (const reader of readers) await reader.until(({ position }) => position !== undefined);
    }
  }

  /** Lets the runs end that were hit as often as a run may be. */
  async spareTheHit(): Promise<void> {
    for (const { user, readers } of this.#chats) {
      for (const prompt of user.prompts) {
        if (prompt.hits > HITS_MAX) await readers[0].until((story) => story.hasEnded(prompt.runId ?? ''));
      }
    }
  }

  #open(): Prompted[] {
    return this.#chats.flatMap(({ user, readers }) =>
      user.prompts.filter(({ runId }) => !readers[0].story.hasEnded(runId ?? '')),
    );
  }

  async #settle(): Promise<void> {
    for (const { user, readers } of this.#chats) {
      for (const reader of readers) {
        await reader.until((story) => user.prompts.every(({ runId }) => story.hasEnded(runId ?? '')));
        await reader.stop();
      }
    }
  }

  async #readFinally({ name: node, url }: Node): Promise<void> {
    const { token } = this.#options;
    // One may still be finding its storage again when another has answered everything.
    while ((await tryCall({ method: 'GET', url: `${url}/readyz` }))?.status !== 200) await backOff();
    for (const { sessionId: session } of this.#chats) {
      for (const wire of WIRES) {
        const reader = `${session}-${node}-final-${wire}`;
        this.history.record({ kind: 'connect', reader, session, node, wire, final: true });
        const cutAfter = ({ id, event, data }: SeenEvent): boolean => {
          if (id !== undefined) this.history.record({ kind: 'event', reader, id, type: event, data });
          if (event === 'live') this.history.record({ kind: 'live', reader, position: data['position'] as string });
          return event === 'live';
        };
        const record = await (wire === 'sse' ? readSse : readWs)({ url, token, sessionId: session, cutAfter });
        expect(await record.ended).toBe('cut');
      }
      this.history.record({ kind: 'fold', session, node, messages: await this.#messages(session, url) });
    }
  }

  async #messages(
    sessionId: string,
    url: string,
  ): Promise<{ messageId: string; role: string; content: unknown; status: string }[]> {
    type Page = { messages: { messageId: string; role: string; content: unknown; status: string }[]; before?: string };
    let all: Page['messages'] = [];
    let before: string | undefined;
    do {
      const query = before === undefined ? '' : `?before=${before}`;
      const { body } = await call({
        method: 'GET',
        url: `${url}/v1/sessions/${sessionId}/messages${query}`,
        token: this.#options.token,
      });
      const page = body as unknown as Page;
      all = [...page.messages, ...all];
      before = page.before;
    } while (before !== undefined);
    return all;
  }

  #judge(): void {
    const violations = checkHistory(this.history.observations);
    expect(describeViolations(violations)).toBe('');
    const prompts = this.#chats.flatMap(({ user, readers }) => user.prompts.map((prompt) => ({ prompt, readers })));
    const ends: Record<string, number> = {};
    for (const { prompt, readers } of prompts) for (const reader of readers) this.#judgeAnswer(prompt, reader, ends);
    const connections = this.#chats.reduce(
      (sum, { readers }) => sum + readers.reduce((all, reader) => all + reader.connections, 0),
      0,
    );
    const repeated = prompts.filter(({ prompt }) => prompt.attempts > 1).length;
    console.info(
      `prompts ${prompts.length} (${repeated} sent more than once), ends on two wires ${JSON.stringify(ends)}, runs taken over ${this.takeovers}, connections ${connections}, observations ${this.history.observations.length}, violations ${violations.length}`,
    );
  }

  /** Exactly what was asked for; of one that was stopped, or whose model died, the beginning. */
  #judgeAnswer(
    { messageId, runId = '', counts, isStopped, isEndless, mayFail }: Prompted,
    { story }: LastingReader,
    ends: Record<string, number>,
  ): void {
    expect(story.violations).toEqual([]);
    const { event: end, data } = story.runs.get(runId)?.end ?? { event: 'none', data: {} };
    ends[end] = (ends[end] ?? 0) + 1;
    const text = story.text(runId);
    const isCut = (isStopped && end === 'run.cancelled') || (mayFail && end === 'run.failed' && isOfModel(data));
    expect(isEndless && end === 'run.completed', `${messageId} went on after its Stop`).toBe(false);
    const answers = counts.map(counted);
    if (isCut)
      expect(
        answers.some((answer) => answer.startsWith(text)),
        `${messageId}: ${text}`,
      ).toBe(true);
    else
      expect({ messageId, end, data, text }).toEqual({
        messageId,
        end: 'run.completed',
        data,
        text: answers.find((answer) => answer === text),
      });
  }
}

function isOfModel({ error }: SeenEvent['data']): boolean {
  return String((error as { code?: string } | undefined)?.code).startsWith('upstream-');
}
