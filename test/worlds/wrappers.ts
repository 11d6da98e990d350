// Wrappers of interfaces that replace a part of them, for planted bugs.
import type { BrokerEngine, ReadResult, Tail } from '../../src/broker/broker.ts';
import type { LogFile, LogFiles } from '../../src/broker/log/disk/log-files.ts';
import { IteratedTail } from '../support/iterated-tail.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import type { EventSink } from '../../src/stream/event-sink.ts';

/** Replaces a part of every file that is opened. */
export function wrapFiles(
  inner: LogFiles,
  change: (file: LogFile) => Partial<LogFile>,
  changed: Partial<LogFiles> = {},
): LogFiles {
  return {
    open: async (...args) => {
      const file = await inner.open(...args);
      return wrapFile(file, change(file));
    },
    makeFolder: (path) => inner.makeFolder(path),
    list: (folder) => inner.list(folder),
    unlink: (path) => inner.unlink(path),
    rename: (from, to) => inner.rename(from, to),
    syncFolder: (path) => inner.syncFolder(path),
    deviceBytes: (folder) => inner.deviceBytes(folder),
    freeBytes: (folder) => inner.freeBytes(folder),
    ...changed,
  };
}

function wrapFile(inner: LogFile, changed: Partial<LogFile>): LogFile {
  return {
    write: (...args) => inner.write(...args),
    read: (...args) => inner.read(...args),
    datasync: () => inner.datasync(),
    truncate: (length) => inner.truncate(length),
    size: () => inner.size(),
    close: () => inner.close(),
    ...changed,
  };
}

export function wrapSink(inner: EventSink, changed: Partial<EventSink>): EventSink {
  return {
    write: (frame) => inner.write(frame),
    get bufferedBytes() {
      return inner.bufferedBytes;
    },
    onceDrained: (callback) => inner.onceDrained(callback),
    end: (reason) => inner.end(reason),
    ...changed,
  };
}

/** Changes every result of a read and of a tail. */
export function wrapResults(inner: BrokerEngine, change: (result: ReadResult) => ReadResult): BrokerEngine {
  return wrapBroker(inner, {
    read: async (...args) => change(await inner.read(...args)),
    tail: (...args) => changedTail(inner.tail(...args), change),
  });
}

/** Changes each result of a tail. */
export function changedTail(tail: Tail, change: (result: ReadResult) => ReadResult): Tail {
  return new IteratedTail(changed(tail, change));
}

async function* changed(tail: Tail, change: (result: ReadResult) => ReadResult): AsyncGenerator<ReadResult> {
  for await (const result of tail) yield change(result);
}
