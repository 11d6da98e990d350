// The connection of a real client breaks at a random byte of its stream, as if the stream were over, and the client
// comes back in its own way: it has exactly the answer. Twenty places for each wire. HOLDLINE_TEST_SEED sets the seed.
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { seededRandom, type SeededRandom } from '../process/seeded-random.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { timeLimit } from '../support/slowness.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { eventually } from '../support/wait-for.ts';
import { takeRun } from './openai/stock-client.ts';
import { WIRE_CLIENTS, type WireClient } from './wire-clients.ts';

vi.setConfig({ testTimeout: timeLimit(30_000) });

// The AG-UI client writes every stream that breaks to the console.
beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
});

const PLACES = 20;
const WORDS = Array.from({ length: 24 }, (_, i) => `${'ä🌍'.repeat(i % 3)}word ${i}, `);
const WHOLE = WORDS.join('');

interface Scene {
  readonly h: Harness;
  readonly port: number;
  readonly client: WireClient;
}

/** When the worker speaks, and where the stream is cut. */
interface Plan {
  readonly session: string;
  /** Words that the client sees, unless its stream is cut before, before the others are said. */
  readonly seen: number;
  /** The run ends only when the client has all words or has lost its stream. */
  readonly endsLate: boolean;
  /** Undefined: the stream is not cut. */
  readonly cutAt?: number;
}

/** Returns the bytes of the stream, and whether it was cut. */
async function readWithCut({ h, port, client }: Scene, plan: Plan): Promise<{ bytes: number; wasCut: boolean }> {
  const { session, seen, endsLate, cutAt } = plan;
  const proxy = await TcpProxy.start(port);
  onTestFinished(() => proxy.close());
  if (cutAt !== undefined) proxy.cutStreamAfter(cutAt);
  const viewer = await client.start({ url: `http://127.0.0.1:${proxy.port}`, token: h.token('ann') }, session, 'go');
  const { left, text, comeBack } = viewer;
  const back = left.then(async (leaving) => (leaving === 'whole' ? undefined : comeBack()));
  const run = await takeRun(h, session);
  await run.say(...WORDS.slice(0, seen));
  await Promise.race([left, eventually(() => text() === WORDS.slice(0, seen).join(''))]);
  await run.say(...WORDS.slice(seen));
  if (endsLate) await Promise.race([left, eventually(() => text() === WHOLE)]);
  await run.complete();
  await back;
  expect([plan, text()]).toEqual([plan, WHOLE]);
  return { bytes: proxy.streamedBytes, wasCut: cutAt !== undefined && !proxy.awaitsStreamCut };
}

const planOf = (random: SeededRandom, session: string): Plan => ({
  session,
  seen: random.between(0, WORDS.length),
  endsLate: random.next() < 0.5,
});

describe.each(WIRE_CLIENTS)('$name', (client) => {
  it(`has exactly the answer where its stream is cut at any of ${PLACES} random places`, async () => {
    const random = seededRandom(client.name);
    const h = await startHarness();
    const { port } = await h.listen();
    const scene = { h, port, client };
    const { bytes } = await readWithCut(scene, { session: 'whole', seen: WORDS.length, endsLate: false });
    const plans = Array.from({ length: PLACES }, (_, i) => ({
      ...planOf(random, `cut-${i}`),
      cutAt: random.between(0, bytes - 1),
    }));
    const cuts = await Promise.all(plans.map((plan) => readWithCut(scene, plan)));
    expect(cuts.filter(({ wasCut }) => wasCut).length).toBeGreaterThan(0);
  });
});
