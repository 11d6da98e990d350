// A whole Holdline in one process (gateway, worker, embedded broker with fsync=always), whose model says the time:
// `say N at R/s` streams N tokens, each the wall clock in ms when it was said. So a client knows how old a token is.
// Prints one line of JSON when it serves: {port, token}; a worker alone serves nothing, and says so with port 0.
//   clock-server.js <folder or redis:// URL> [all | gateway | worker]
// LOAD_MODEL_URL: another model's server to ask, in place of the clock.
// LOAD_SECRET: the key of its tokens, in hex, where several processes must know each other's.
// LOAD_TURNS: it measures its turns of the event loop, and prints their figures as a line of JSON at each SIGUSR2.
import { createSecretKey, randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { openBroker } from '../src/broker/open-broker.ts';
import { setGcFlags } from '../src/cli/gc-flags.ts';
import { systemClock } from '../src/base/clock.ts';
import { buildGateway } from '../src/gateway/app.ts';
import { randomId } from '../src/base/random.ts';
import { signToken } from '../src/gateway/auth/jwt-signature.ts';
import { gatewayConfig } from '../src/gateway/gateway-config.ts';
import { CommandLog } from '../src/session/commands/command-log.ts';
import { Runs } from '../src/session/runs.ts';
import type { Provider, ProviderEvent } from '../src/worker/provider.ts';
import { createOpenAiProvider } from '../src/worker/providers/openai/openai-provider.ts';
import { Worker } from '../src/worker/worker.ts';
import { PhaseMeter } from './phase-meter.ts';

const [storage = '', role = 'all'] = process.argv.slice(2);
setGcFlags();

/** Its pace is kept from the start, like the demo model's: a late timer delays no later token. Written without a
 *  generator, so that the model itself costs little more than the bare loop's timer. */
class ClockSpeech implements AsyncIterableIterator<ProviderEvent> {
  readonly #count: number;
  readonly #rate: number;
  #isStopped = false;
  /** Runs begin together; their tokens should not. */
  readonly #startedAt: number;
  #said = 0;

  constructor(prompt: string, signal: AbortSignal) {
    const [, count = '1', rate = '20'] = /say (\d+) at (\d+)\/s/.exec(prompt) ?? [];
    this.#count = Number(count);
    this.#rate = Number(rate);
    // Asked with every token, the signal itself would cost more than the token.
    signal.addEventListener('abort', () => (this.#isStopped = true), { once: true });
    this.#startedAt = performance.now() + Math.random() * (1000 / this.#rate);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ProviderEvent, undefined>> {
    if (this.#said >= this.#count || this.#isStopped) {
      this.#said = Number.POSITIVE_INFINITY;
      return Promise.resolve({ done: false, value: { type: 'finish', reason: 'stop' } });
    }
    this.#said += 1;
    const wait = this.#startedAt + (this.#said * 1000) / this.#rate - performance.now();
    return new Promise((resolve) => {
      setTimeout(
        () =>
          resolve({
            done: false,
            value: { type: 'text', text: `${(performance.timeOrigin + performance.now()).toFixed(1)} ` },
          }),
        wait,
      );
    });
  }
}

const clockModel: Provider = {
  canContinue: false,
  stream({ messages, signal }) {
    const prompt = messages.at(-1)?.content;
    return new ClockSpeech(typeof prompt === 'string' ? prompt : '', signal);
  },
};

const secret =
  process.env['LOAD_SECRET'] === undefined ? randomBytes(48) : Buffer.from(process.env['LOAD_SECRET'], 'hex');
const complain = (error: unknown): boolean => process.stderr.write(`${String(error)}\n`);
const broker = await (storage.startsWith('redis:')
  ? openBroker({ engine: 'redis', nodes: [storage], promise: 'always', onError: complain })
  : openBroker({ engine: 'log', folder: storage, fsync: { mode: 'always' }, onFatal: complain }));
const log = new CommandLog(broker, Math.random);
const logger = pino({ level: 'warn' });
// All of the load is one user's.
const connections = {
  sessionsPerUserMax: 0,
  runsPerUserMax: 0,
  connectionsMax: 19_000,
  connectionsPerUserMax: 19_000,
  connectionsPerAddressMax: 19_000,
};
const config = gatewayConfig({ auth: { keys: { kind: 'secret', secret } }, ...connections });
const modelUrl = process.env['LOAD_MODEL_URL'];
const provider =
  modelUrl === undefined
    ? clockModel
    : createOpenAiProvider({ baseUrl: modelUrl, clock: systemClock, random: Math.random });
const agent = {
  name: 'default',
  provider,
  model: 'clock',
  takeover: 'restart',
  attemptsMax: 3,
  conversationChars: 10_000,
} as const;
const runs = new Runs(broker, log, systemClock, randomId);
if (role !== 'gateway')
  new Worker({
    broker,
    log,
    runs,
    clock: systemClock,
    logger,
    agents: new Map([['default', agent]]),
    concurrency: 4096,
  }).start();
const exp = Math.floor(Date.now() / 1000) + 3600;
const token = signToken({ sub: 'load', scope: 'chat', exp }, createSecretKey(secret));
process.stdout.write(`${JSON.stringify({ port: role === 'worker' ? 0 : await serve(), token })}\n`);
if (process.env['LOAD_TURNS'] !== undefined) {
  let meter = new PhaseMeter();
  process.on('SIGUSR2', () => {
    process.stdout.write(`${JSON.stringify(meter.stop('turns', 0))}\n`);
    meter = new PhaseMeter();
  });
}
// A worker alone has no socket that keeps it alive.
setInterval(() => undefined, 60_000);

async function serve(): Promise<number> {
  const gateway = await buildGateway({
    config,
    broker,
    commandLog: log,
    clock: systemClock,
    random: Math.random,
    logger,
  });
  await gateway.app.listen({ host: '127.0.0.1', port: 0 });
  return (gateway.app.server.address() as AddressInfo).port;
}
// Exiting, rather than dying, is what writes a CPU profile.
process.once('SIGTERM', () => process.exit(0));
