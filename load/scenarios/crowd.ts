// Chats of an assistant with many readers: in each chat one user sends, edits, withdraws and stops prompts, and
// readers follow it on both wires like phones that come and go. Everything that they see goes into one history, and
// in the end the history checker of the tests judges it.
import type { Entrance } from '../../test/process/entrance.ts';
import { call, tryCall } from '../../test/process/http-call.ts';
import { LastingReader, type Wire } from '../../test/process/lasting-reader.ts';
import { Moments } from '../../test/process/moments.ts';
import { PersistentUser } from '../../test/process/persistent-user.ts';
import type { SeededRandom } from '../../test/process/seeded-random.ts';
import { readSse } from '../../test/support/sse-reader.ts';
import type { SeenEvent } from '../../test/support/wire-record.ts';
import { readWs } from '../../test/support/ws-reader.ts';
import { checkHistory } from '../../test/worlds/checker.ts';
import { History, type FoldedMessage } from '../../test/worlds/history.ts';
import { describeViolations } from '../../test/worlds/violation.ts';

export interface CrowdPlan {
  /** The prefix of its session ids. */
  readonly name: string;
  readonly nodes: readonly string[];
  readonly token: string;
  readonly chats: number;
  readonly readersPerChat: number;
  /** Users that talk at once. */
  readonly talking: number;
  /** A phone stays for at most so many events. */
  readonly eventsMax: number;
}

export interface CrowdFigures {
  readonly violations: number;
  /** What the first of them say. */
  readonly described: string;
  readonly prompts: number;
  readonly sentAgain: number;
  readonly connections: number;
  readonly observations: number;
}

interface Chat {
  readonly sessionId: string;
  readonly user: PersistentUser;
  readonly readers: readonly [LastingReader, ...LastingReader[]];
}

const OPENING = 40;
const READING_FINALLY = 16;
/** As the client library backs off, with full jitter. */
const RETRY_MS_FIRST = 250;
const RETRY_MS_MAX = 20_000;
/** A phone is away for at most so long. */
const AWAY_MS_MAX = 2_000;
/** When nothing at all was seen for so long, what has not happened never will. */
const QUIET_MS = 60_000;
const LOOK_MS = 100;

export class Crowd {
  readonly #plan: CrowdPlan;
  readonly #random: SeededRandom;
  readonly #history = new History();
  readonly #moments = new Moments();
  readonly #chats: Chat[] = [];
  #talking: Promise<unknown> = Promise.resolve();
  #isOver = false;
  #prompts = 0;

  constructor(plan: CrowdPlan, random: SeededRandom) {
    this.#plan = plan;
    this.#random = random;
  }

  /** Readers that have a connection now. */
  get connected(): number {
    return this.#readers.filter(({ isConnected }) => isConnected).length;
  }

  /** Readers whose last try to connect failed. */
  get refused(): number {
    return this.#readers.filter(({ isRefused }) => isRefused).length;
  }

  /** Prompts that ended since the beginning, except the first of each chat. */
  get prompts(): number {
    return this.#prompts;
  }

  /** Resolves when every chat has a prompt and every reader is connected. */
  async open(): Promise<void> {
    const { chats } = this.#plan;
    await inTurn(
      Array.from({ length: chats }, (_, i) => i),
      OPENING,
      async (i) => void this.#chats.push(await this.#openChat(i)),
    );
    while (this.connected < this.#readers.length) await pause(LOOK_MS);
  }

  /** Some users talk at once, each for one prompt, then others. */
  talk(): void {
    const idle = [...this.#chats];
    const talker = async (): Promise<void> => {
      while (!this.#isOver) {
        const chat = idle.splice(this.#random.between(0, idle.length - 1), 1)[0];
        if (chat === undefined) return;
        let turns = 1;
        await chat.user.talk(chat.readers[0], () => (turns -= 1) < 0);
        this.#prompts += 1;
        idle.push(chat);
      }
    };
    this.#talking = Promise.all(Array.from({ length: this.#plan.talking }, talker));
    // `settle` records the failure.
    this.#talking.catch(() => undefined);
  }

  /** A fault was made that may cost a run its worker. */
  hit(what: string): void {
    this.#history.record({ kind: 'crash', what, declaresLoss: false });
  }

  /** Resolves when every run has ended for every reader, and everything was read once more from each node. */
  async settle(): Promise<CrowdFigures> {
    this.#isOver = true;
    await this.#happens('the users', this.#talking);
    await inTurn(this.#chats, READING_FINALLY, async (chat) => this.#happens(chat.sessionId, finish(chat)));
    for (const node of this.#plan.nodes) await this.#happens(`a final read of ${node}`, this.#readFinally(node));
    const violations = checkHistory(this.#history.observations);
    const prompts = this.#chats.flatMap(({ user }) => user.prompts);
    return {
      violations: violations.length,
      described: describeViolations(violations),
      prompts: prompts.length,
      sentAgain: prompts.filter(({ attempts }) => attempts > 1).length,
      connections: this.#readers.reduce((sum, { connections }) => sum + connections, 0),
      observations: this.#history.observations.length,
    };
  }

  get #readers(): readonly LastingReader[] {
    return this.#chats.flatMap(({ readers }) => readers);
  }

  async #openChat(i: number): Promise<Chat> {
    const { name, nodes, token, readersPerChat, eventsMax } = this.#plan;
    const random = this.#random;
    const sessionId = `${name}-${i}`;
    const server: Entrance = {
      get url() {
        return nodes[random.between(0, nodes.length - 1)] ?? '';
      },
      lives: 0,
      up: () => Promise.resolve(),
    };
    const shared = { server, token, sessionId, history: this.#history, moments: this.#moments, random };
    const user = new PersistentUser({ ...shared, isModelDown: () => false });
    await user.prompt();
    const reader = (k: number): LastingReader => {
      const wire: Wire = k % 2 === 0 ? 'sse' : 'ws';
      const wait = async (failures: number): Promise<void> => pause(random.next() * waitMax(failures));
      return new LastingReader({ ...shared, wire, name: `${sessionId}-${k}`, eventsMax, pause: wait });
    };
    const readers = [reader(0), ...Array.from({ length: readersPerChat - 1 }, (_, k) => reader(k + 1))] as const;
    await readers[0].until(({ position }) => position !== undefined);
    return { sessionId, user, readers: [...readers] };
  }

  async #readFinally(url: string): Promise<void> {
    // One node may still be reconnecting to its storage when another one has answered everything.
    while ((await tryCall({ method: 'GET', url: `${url}/readyz` }))?.status !== 200) await pause(LOOK_MS);
    await inTurn(this.#chats, READING_FINALLY, async ({ sessionId: session }, i) => {
      const wire: Wire = (i + this.#plan.nodes.indexOf(url)) % 2 === 0 ? 'sse' : 'ws';
      const reader = `${session}-final-${url}`;
      this.#history.record({ kind: 'connect', reader, session, node: url, wire, final: true });
      const cutAfter = ({ id, event, data }: SeenEvent): boolean => {
        if (id !== undefined) this.#history.record({ kind: 'event', reader, id, type: event, data });
        if (event === 'live') this.#history.record({ kind: 'live', reader, position: data['position'] as string });
        return event === 'live';
      };
      const read = await (wire === 'sse' ? readSse : readWs)({
        url,
        token: this.#plan.token,
        sessionId: session,
        cutAfter,
      });
      await read.ended;
      this.#history.record({ kind: 'fold', session, node: url, messages: await this.#messages(session, url) });
    });
  }

  async #messages(sessionId: string, url: string): Promise<FoldedMessage[]> {
    let all: FoldedMessage[] = [];
    let before: string | undefined;
    do {
      const query = before === undefined ? '' : `?before=${before}`;
      const page = `${url}/v1/sessions/${sessionId}/messages${query}`;
      const { body } = await call({ method: 'GET', url: page, token: this.#plan.token });
      const { messages, before: next } = body as unknown as { messages: FoldedMessage[]; before?: string };
      all = [...messages, ...all];
      before = next;
    } while (before !== undefined);
    return all;
  }

  /** Records what does not happen although nothing else happens any more, and what fails, for the checker. */
  async #happens(what: string, happening: Promise<unknown>): Promise<void> {
    let [seen, since] = [0, performance.now()];
    let onStuck: () => void = () => undefined;
    const stuck = new Promise<void>((resolve) => (onStuck = resolve));
    const looking = setInterval(() => {
      const { length } = this.#history.observations;
      if (length !== seen) [seen, since] = [length, performance.now()];
      if (performance.now() - since > QUIET_MS) onStuck();
    }, LOOK_MS);
    try {
      const end = await Promise.race([happening.then(() => 'happened' as const), stuck]);
      if (end !== 'happened') this.#history.record({ kind: 'stuck', what });
    } catch (error) {
      this.#history.record({ kind: 'fault', what: `${what}: ${String(error)}` });
    } finally {
      clearInterval(looking);
    }
  }
}

/** Resolves when every reader has seen the end of every run. */
async function finish({ user, readers }: Chat): Promise<void> {
  for (const reader of readers) {
    await reader.until((story) => user.prompts.every(({ runId }) => story.hasEnded(runId ?? '')));
    await reader.stop();
  }
}

function waitMax(failures: number): number {
  return failures === 0 ? AWAY_MS_MAX : Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** failures);
}

async function inTurn<T>(
  items: readonly T[],
  atOnce: number,
  task: (item: T, i: number) => Promise<void>,
): Promise<void> {
  const left = items.map((item, i) => [item, i] as const);
  const next = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await task(...one);
  };
  await Promise.all(Array.from({ length: atOnce }, next));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
