// Chats that continue through every fault of the servers: users that send, stop and repeat prompts, and readers on both
// wires. Afterwards the checker judges the whole history, and every answer must be the one that its prompt names.
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

/** A run has at most five attempts, and every kill may cost it one. */
const HITS_MAX = 2;
const WIRES: readonly Wire[] = ['sse', 'ws'];

interface Chat {
  readonly sessionId: string;
  readonly user: PersistentUser;
  readonly readers: readonly [LastingReader, ...LastingReader[]];
}

/** A node that is read by itself at the end. */
export interface Node {
  readonly name: string;
  readonly url: string;
}

export interface ChatStoryOptions {
  readonly server: Entrance;
  readonly token: string;
  readonly random: SeededRandom;
  readonly sessions: number;
  /** The prefix of its session ids, because one server may have several stories. */
  readonly name?: string;
  /** The agents that the users choose from. Default: prompts name no agent. */
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

  /** The users send prompts until `strike` has made its faults. */
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
    // One more prompt: its end is in the epoch that is left, and the runs of a chat end in order.
    for (const { user } of this.#chats) await user.prompt();
    await this.#settle();
    for (const node of nodes()) await this.#readFinally(node);
    this.#judge();
  }

  /** The number of runs that another worker took over. */
  get takeovers(): number {
    return this.#chats.flatMap(({ readers }) => readers[0].story.steps.filter(({ event }) => event === 'run.restarted'))
      .length;
  }

  /** The readers that received no reset. */
  get neverReset(): readonly string[] {
    const { observations } = this.history;
    const told = new Set(observations.flatMap((one) => (one.kind === 'reset' ? [one.reader] : [])));
    return this.#chats.flatMap(({ readers }) => readers.map(({ name }) => name)).filter((name) => !told.has(name));
  }

  /** Records a fault that may cost a run its worker, and counts it for every run that has not ended. */
  hit(what: string, declared: Pick<Crashed, 'changesEpoch'> = {}): void {
    for (const prompt of this.#open()) prompt.hits += 1;
    this.history.record({ kind: 'crash', what, declaresLoss: false, ...declared });
  }

  /** Until `modelIsBack`, answers may fail. */
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
    // The first write creates the chat, and only then can it be read.
    await user.prompt();
    const readerOn = (wire: Wire): LastingReader =>
      new LastingReader({ ...shared, wire, name: `${sessionId}-${wire}` });
    return { sessionId, user, readers: [readerOn('sse'), readerOn('ws')] };
  }

  /** Waits for a random moment. */
  async moment(): Promise<void> {
    const { random } = this;
    const kind = random.pick<MomentKind>(['event', 'event', 'send', 'cancel']);
    const count = random.between(1, kind === 'event' ? 200 : 2);
    // The next stop may take long, so events end the wait as well.
    await Promise.race([this.#moments.next(count, kind), this.#moments.next(300, 'event')]);
    for (let turns = random.between(0, 20); turns > 0; turns -= 1)
      await new Promise((resolve) => setImmediate(resolve));
  }

  /** Waits until every reader holds a position that it can lose. */
  async everyoneReads(): Promise<void> {
    for (const { readers } of this.#chats) {
      for (const reader of readers) await reader.until(({ position }) => position !== undefined);
    }
  }

  /** Waits for the end of the runs that were hit as often as a run may be. */
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
    // One node may still be reconnecting to its storage when another one has answered everything.
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

  /** An answer is exactly what its prompt names; of a stopped run, or a run whose model died, a prefix of that. */
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
