// What group commit costs: N writers, each of which has one append under way, against a bare loop that does the least a
// group commit can: it joins the buffers of all waiting writers, writes them at the end of a file, calls fdatasync and
// resolves the writers. Both write the same bytes to files of the same folder, by turns. Prints one line of JSON.
//   npm run build:load && node dist-load/load/writers.js [seconds=3] [pairs=3] [writers=1000,100,10,1]
import { open, mkdtemp, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { LiteTopicName } from '../src/broker/lite-topic.ts';
import { parseLiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';

const DATA = '{"type":"delta","part":0,"text":" token"}';
const RECORDS = [{ major: false, data: DATA }];
/** About what a frame of the log takes besides the text: name, epoch, offsets, expiry. */
const FRAME_BYTES = 64;
const WARM_UP_MS = 500;
const LATENCIES_MAX = 200_000;

interface Figures {
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** One writer's next append; resolves when it is durable. */
type Append = (writer: number) => Promise<unknown>;

interface Waiting {
  readonly bytes: Buffer;
  resolve(): void;
}

/** The bare loop. */
class BareCommit {
  readonly #file: FileHandle;
  #open: Waiting[] = [];
  #busy = false;
  #position = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  append(): Promise<void> {
    return new Promise((resolve) => {
      const bytes = Buffer.allocUnsafe(FRAME_BYTES + DATA.length);
      bytes.fill(0, 0, FRAME_BYTES);
      bytes.write(DATA, FRAME_BYTES);
      bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
      this.#open.push({ bytes, resolve });
      if (!this.#busy) {
        this.#busy = true;
        setImmediate(() => void this.#run());
      }
    });
  }

  async #run(): Promise<void> {
    while (this.#open.length > 0) {
      const batch = this.#open;
      this.#open = [];
      const bytes = Buffer.concat(batch.map((one) => one.bytes));
      await this.#file.write(bytes, 0, bytes.length, this.#position);
      await this.#file.datasync();
      this.#position += bytes.length;
      for (const one of batch) one.resolve();
    }
    this.#busy = false;
  }
}

async function measure(writers: number, ms: number, append: Append): Promise<Figures> {
  const latencies: number[] = [];
  let [done, isRunning, isCounting] = [0, true, false];
  const loop = async (writer: number): Promise<void> => {
    while (isRunning) {
      const begun = performance.now();
      await append(writer);
      done += 1;
      if (isCounting && latencies.length < LATENCIES_MAX) latencies.push(performance.now() - begun);
    }
  };
  const loops = Array.from({ length: writers }, (_, writer) => loop(writer));
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  [done, isCounting] = [0, true];
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  await new Promise((resolve) => setTimeout(resolve, ms));
  const [seconds, used, count] = [(performance.now() - begun) / 1000, process.cpuUsage(cpu), done];
  isRunning = false;
  await Promise.all(loops);
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => Number((latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(2));
  return {
    perSecond: Math.round(count / seconds),
    cpuMicros: Number(((used.user + used.system) / count).toFixed(1)),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
  };
}

async function bare(folder: string, writers: number, ms: number): Promise<Figures> {
  const file = await open(join(folder, 'bare'), 'w');
  const commit = new BareCommit(file);
  const figures = await measure(writers, ms, () => commit.append());
  await file.close();
  return figures;
}

async function engine(folder: string, writers: number, ms: number): Promise<Figures> {
  const path = join(folder, 'log');
  const broker = await openBroker({ engine: 'log', folder: path, fsync: { mode: 'always' }, onFatal: console.error });
  const names = Array.from({ length: writers }, (_, i) => parseLiteTopicName(`chat/${String(i).padStart(6, '0')}`));
  const epochs = await Promise.all(names.map(async (topic) => epochOf(topic)));
  async function epochOf(topic: LiteTopicName): Promise<string> {
    const records = [{ major: true, data: 'ask' }];
    const [answer] = await broker.append([{ topic, expect: { create: true }, records, ttlMs: 3_600_000 }]);
    return answer?.epoch ?? '';
  }
  const writes = names.map((topic, i) => [{ topic, expect: { epoch: epochs[i] ?? '' }, records: RECORDS }]);
  const figures = await measure(writers, ms, (writer) => broker.append(writes[writer] ?? []));
  await broker.close();
  await rm(path, { recursive: true });
  return figures;
}

const [seconds = 3, pairs = 3] = process.argv.slice(2, 4).map(Number);
const folder = await mkdtemp(join(tmpdir(), 'holdline-writers-'));
for (const writers of (process.argv[4] ?? '1000,100,10,1').split(',').map(Number)) {
  for (let pair = 0; pair < pairs; pair += 1) {
    const loop = await bare(folder, writers, seconds * 1000);
    const holdline = await engine(folder, writers, seconds * 1000);
    const ratio = Number((holdline.perSecond / loop.perSecond).toFixed(2));
    console.log(JSON.stringify({ writers, ratio, holdline, bare: loop }));
  }
}
await rm(folder, { recursive: true });
