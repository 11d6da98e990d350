// Golden transcripts of both native wires: chats with fixed time, ids and epochs run over SSE and WebSocket, and the
// bytes must equal the recorded files. `vitest -u` records the files again. [PROTOCOL §4, §5, §6]
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { chatTopic } from '../../src/session/topic-names.ts';
import { eventually } from '../support/wait-for.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness, type HarnessOptions } from '../support/gateway-harness.ts';
import { RawSse, RawWs } from './raw-wire.ts';

const EVENTS = '/v1/sessions/s/events';

class NativeChat {
  readonly h: Harness;
  readonly port: number;
  /** Each step waits until they have received every event, so that each append is one live batch. */
  readonly #watchers: (RawSse | RawWs)[] = [];

  private constructor(h: Harness, port: number) {
    this.h = h;
    this.port = port;
  }

  static async start(options: HarnessOptions = {}): Promise<NativeChat> {
    let ids = 0;
    const h = await startHarness({ ...options, deps: { newId: () => `id-${(ids += 1)}` } });
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's', title: 'A chat' });
    return new NativeChat(h, port);
  }

  async sse(query = '', claims?: Readonly<Record<string, unknown>>): Promise<RawSse> {
    const client = new RawSse(this.port, `${EVENTS}${query}`, this.h.bearer('ann', claims));
    await client.until('retry: ');
    return client;
  }

  async ws(claims?: Readonly<Record<string, unknown>>): Promise<RawWs> {
    const client = new RawWs(this.port, this.h.bearer('ann', claims));
    await client.until('\r\n\r\n');
    return client;
  }

  async watchSse(query = ''): Promise<RawSse> {
    const client = await this.sse(query);
    await client.until('event: live\n');
    this.#watchers.push(client);
    return client;
  }

  async watchWs(): Promise<RawWs> {
    const client = await this.ws();
    client.send({ type: 'subscribe', sessionId: 's' });
    await client.until('"event":"live"');
    this.#watchers.push(client);
    return client;
  }

  async step(action: Promise<unknown>): Promise<void> {
    await action;
    const position = await this.position();
    for (const watcher of this.#watchers) await watcher.until(position);
  }

  /** The position of the last record, as a reader receives it. */
  async position(): Promise<string> {
    const [info] = await this.h.broker.describe([chatTopic({ tenant: 'default', sessionId: 's' })]);
    return `${info?.epoch}.${(info?.next ?? 0) - 1}`;
  }

  async prompt(content: string): Promise<string> {
    const { body, text } = await this.h.call('POST', '/v1/sessions/s/messages', 'ann', { content });
    expect(body['runId'], text).toBeTypeOf('string');
    return String(body['runId']);
  }

  async take(runId: string): Promise<FakeRun> {
    return FakeRun.take(this.h, 's', runId);
  }

  /** Four runs: one that restarts, one with every kind of part, one that the user cancels, one that still runs. */
  async play(): Promise<void> {
    let runId = '';
    const ask = async (content: string): Promise<FakeRun> => {
      await this.step(this.prompt(content).then((id) => (runId = id)));
      const run = await this.take(runId);
      await this.step(Promise.resolve());
      return run;
    };
    const first = await ask('one');
    for (const text of ['Hello', ', ', 'wörld ', '🌍', ' and "all"\n\ndata: forged\n\n'])
      await this.step(first.say(text));
    await this.step(first.dropFrom(7));
    for (const text of ['again', ' and', ' again.']) await this.step(first.say(text));
    await this.step(first.complete());
    await this.step(this.playParts(await ask('two')));
    const third = await ask('three');
    await this.step(third.say('Not to'));
    await this.step(this.h.call('POST', '/v1/sessions/s/cancel', 'ann', {}));
    await this.step(third.cancelled('ann'));
    await this.step(this.h.call('PATCH', '/v1/sessions/s', 'ann', { title: 'Another name', metadata: { a: 1 } }));
    const fourth = await ask('four');
    await this.step(fourth.say('still'));
    await this.step(fourth.say(' going'));
  }

  async playParts(run: FakeRun): Promise<void> {
    const { runId, answerId: messageId } = run.run;
    const call = { toolCallId: 'call-1', toolName: 'search' };
    for (const text of ['Let me', ' think.']) await this.step(run.sayIn(0, 'reasoning', text));
    await this.step(run.add({ type: 'part.started', runId, part: 1, kind: 'tool-call', ...call }));
    for (const text of ['{"q":', '"x"}']) await this.step(run.sayIn(1, 'tool-call', text));
    await this.step(run.add({ type: 'tool.result', runId, toolCallId: 'call-1', result: { found: [1, 2] } }));
    const delta = { type: 'delta', runId, messageId, part: 2, kind: 'text' } as const;
    // One batch: the deltas of each part are merged.
    await this.step(
      run.add(
        { ...delta, at: 0, text: 'It ' },
        { ...delta, at: 3, text: 'is ' },
        { ...delta, at: 6, text: '2.' },
        { ...delta, part: 3, kind: 'reasoning', at: 0, text: 'Sure?' },
        { ...delta, part: 3, kind: 'reasoning', at: 5, text: ' Yes.' },
      ),
    );
    await this.step(run.complete());
  }
}

async function expectGolden(name: string, ...clients: readonly (RawSse | RawWs)[]): Promise<void> {
  const transcript = clients.map((client) => client.transcript).join('\n=====\n');
  await expect(transcript).toMatchFileSnapshot(`golden/${name}.txt`);
}

/** The first event behind the position, and a hash of everything behind the head. */
function digest(client: RawSse | RawWs): string {
  const [, body = ''] = client.transcript.split(/\\r\n\\r\n/, 2);
  const first = body.split('\n').find((line) => line.startsWith('data: ') || line.includes('"id":'));
  return `${createHash('sha256').update(body).digest('hex')} ${first?.slice(0, 200)}`;
}

describe('native wires', () => {
  it('sends the recorded bytes when several readers are live', async () => {
    const chat = await NativeChat.start();
    const sse = await chat.watchSse();
    const second = await chat.watchSse();
    const ws = await chat.watchWs();
    await chat.play();
    await expectGolden('live-sse', sse);
    await expectGolden('live-ws', ws);
    expect(second.transcript.split('retry: ')[1]).toBe(sse.transcript.split('retry: ')[1]);
  });

  it('sends the recorded bytes when one reader is live', async () => {
    const chat = await NativeChat.start();
    const ws = await chat.watchWs();
    await chat.play();
    await expectGolden('alone-ws', ws);
    const other = await NativeChat.start();
    const sse = await other.watchSse();
    await other.play();
    await expectGolden('alone-sse', sse);
  });

  it('sends the recorded bytes when a reader resumes at any position, inside holes too', async () => {
    const chat = await NativeChat.start();
    await chat.play();
    const [epoch = '', last = ''] = (await chat.position()).split('.');
    const read: string[] = [];
    for (let offset = 0; offset <= Number(last); offset += 1) {
      const after = `${epoch}.${offset}`;
      const sse = await chat.watchSse(`?after=${after}`);
      const ws = await chat.ws();
      ws.send({ type: 'subscribe', sessionId: 's', after });
      await ws.until('"event":"live"');
      read.push(`after ${after}`, digest(sse), digest(ws));
      sse.destroy();
      ws.destroy();
    }
    await expect(`${read.join('\n')}\n`).toMatchFileSnapshot('golden/resumed.txt');
  });

  it('sends the recorded bytes when a position cannot be served', async () => {
    const chat = await NativeChat.start();
    await chat.prompt('one');
    const ws = await chat.ws();
    const read: (RawSse | RawWs)[] = [ws];
    for (const after of ['other.0', 'e2.999']) {
      read.push(await chat.watchSse(`?after=${after}`));
      const closing = await chat.sse(`?after=${after}&onReset=close`);
      await closing.closed();
      read.push(closing);
      ws.send({ type: 'subscribe', sessionId: 's', after });
      await eventually(
        () =>
          ws.transcript.split('"event":"live"').length === read.filter((one) => one instanceof RawSse).length / 2 + 1,
      );
    }
    await chat.h.call('DELETE', '/v1/sessions/s', 'ann');
    await ws.until('"code":"not-found"');
    await read[1]?.closed();
    const late = await chat.sse('?after=e2.0');
    await late.closed();
    ws.send({ type: 'subscribe', sessionId: 's' });
    await eventually(() => ws.transcript.split('"code":"not-found"').length === 3);
    await expectGolden('resets', ...read, late);
  });

  it('sends the recorded bytes when the stream is until idle', async () => {
    const chat = await NativeChat.start();
    const empty = await chat.sse('?until=idle');
    await empty.closed();
    const run = await chat.take(await chat.prompt('one'));
    const busy = await chat.sse('?until=idle');
    await busy.until('event: run.started');
    await run.say('some');
    await busy.until('some');
    await run.say('thing');
    await busy.until('thing');
    await run.complete();
    await busy.closed();
    await expectGolden('until-idle', empty, busy);
  });

  it('sends the recorded bytes when a heartbeat is due, a run is queued or a token expires', async () => {
    const chat = await NativeChat.start();
    // The token expires before the pong is due.
    const claims = { exp: chat.h.clock.now() / 1000 + 28 };
    const sse = await chat.sse('', claims);
    await sse.until('event: live');
    const ws = await chat.ws(claims);
    ws.send({ type: 'subscribe', sessionId: 's' });
    await ws.until('"event":"live"');
    await chat.prompt('one');
    await chat.prompt('two');
    await sse.until(await chat.position());
    await ws.until(await chat.position());
    await chat.h.clock.advance(26_000);
    await sse.until('event: queue');
    await ws.until('"event":"queue"');
    await chat.h.clock.advance(4_000);
    await sse.closed();
    await ws.until('token-expired');
    await expectGolden('controls', sse, ws);
  });

  it('sends the recorded bytes when the node drains', async () => {
    const chat = await NativeChat.start();
    const sse = await chat.watchSse();
    const ws = await chat.watchWs();
    const bare = await chat.ws();
    const drained = chat.h.gateway.drain({ windowMs: 1_000, deadlineMs: 5_000 });
    await chat.h.clock.advance(1_000);
    await sse.closed();
    for (const socket of [ws, bare]) await socket.until('afterMs"');
    await expectGolden('drain', sse, ws, bare);
    await chat.h.clock.advance(10_000);
    await drained;
  });

  it('sends the recorded head when the request is HEAD', async () => {
    const chat = await NativeChat.start();
    const head = new RawSse(chat.port, EVENTS, chat.h.bearer('ann'), 'HEAD');
    await head.closed();
    await expectGolden('head', head);
  });
});
