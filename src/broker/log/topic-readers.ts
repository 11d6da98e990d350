// The readers attached to one topic of the log. Undefined rather than an empty list, because most topics have none.
import type { TailReader } from '../tail/tail-reader.ts';

export interface TopicReaders {
  all: TailReader[] | undefined;
}

export function addReader(readers: TopicReaders, reader: TailReader): void {
  if (readers.all === undefined) readers.all = [reader];
  else readers.all.push(reader);
}

export function removeReader(readers: TopicReaders, reader: TailReader): void {
  const rest = readers.all?.filter((one) => one !== reader) ?? [];
  readers.all = rest.length === 0 ? undefined : rest;
}
