// A child process for a test that kills it in the middle of declaring damage. It opens several folders and reads the
// same damaged topic in each. The declaration stops at another point in each folder: before its bytes are written, in
// the middle of them, before the flush, and behind it. Then the process says so, and waits to be killed.
import { systemClock } from '../../../src/base/clock.ts';
import { parseLiteTopicName } from '../../../src/broker/lite-topic.ts';
import { nodeLogFiles, type LogFile, type LogFiles } from '../../../src/broker/log/disk/log-files.ts';
import { openLogBroker } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';

const POINTS = ['before the write', 'in the write', 'before the flush', 'behind the flush'] as const;
type Point = (typeof POINTS)[number];

const [topic = '', ...folders] = process.argv.slice(2);

/** Files that stop for good at the point, once `begin` was called. */
class StoppingFiles {
  readonly #point: Point;
  #hasBegun = false;
  #onStopped: () => void = () => undefined;
  readonly stopped = new Promise<void>((resolve) => (this.#onStopped = resolve));

  constructor(point: Point) {
    this.#point = point;
  }

  begin(): void {
    this.#hasBegun = true;
  }

  get files(): LogFiles {
    return { ...bound(nodeLogFiles), open: async (path, mode) => this.#wrap(await nodeLogFiles.open(path, mode)) };
  }

  #wrap(file: LogFile): LogFile {
    return {
      write: async (bytes, position) => {
        await this.#at('before the write');
        if (this.#isAt('in the write')) await file.write(bytes.subarray(0, bytes.length / 2), position);
        await this.#at('in the write');
        return file.write(bytes, position);
      },
      datasync: async () => {
        await this.#at('before the flush');
        await file.datasync();
        await this.#at('behind the flush');
      },
      read: (into, position) => file.read(into, position),
      truncate: (length) => file.truncate(length),
      size: () => file.size(),
      close: () => file.close(),
    };
  }

  #isAt(point: Point): boolean {
    return this.#hasBegun && point === this.#point;
  }

  async #at(point: Point): Promise<void> {
    if (!this.#isAt(point)) return;
    this.#onStopped();
    await new Promise(() => undefined);
  }
}

function bound(files: LogFiles): LogFiles {
  return {
    open: (path, mode) => files.open(path, mode),
    makeFolder: (path) => files.makeFolder(path),
    list: (folder) => files.list(folder),
    unlink: (path) => files.unlink(path),
    rename: (from, to) => files.rename(from, to),
    syncFolder: (path) => files.syncFolder(path),
    deviceBytes: (folder) => files.deviceBytes(folder),
    freeBytes: (folder) => files.freeBytes(folder),
  };
}

async function stopIn(folder: string, point: Point): Promise<void> {
  const stopping = new StoppingFiles(point);
  const broker = await openLogBroker({
    folder,
    fsync: { mode: 'always' },
    clock: systemClock,
    newEpoch: randomEpoch,
    files: stopping.files,
    place: 'here',
    onFatal: (error) => process.stdout.write(`${error.message}\n`),
  });
  stopping.begin();
  const read = broker.read(parseLiteTopicName(topic), 'earliest').then(() => process.stdout.write('answered\n'));
  await Promise.race([stopping.stopped, read]);
}

await Promise.all(folders.map((folder, i) => stopIn(folder, POINTS[i] ?? 'before the write')));
process.stdout.write('declaring\n');
setInterval(() => undefined, 60_000);
