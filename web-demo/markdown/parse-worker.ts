// The worker that parses: one slice for each message, answered under its number.
import { parseSlice } from './parse-slice.ts';
import type { Definition, ParsedSlice } from './parsed-slice.ts';

export interface ParseRequest {
  readonly id: number;
  readonly source: string;
  readonly definitions: readonly Definition[];
}

/** The first message of a worker, once it is loaded. */
export type ParseReply = 'ready' | { readonly id: number; readonly slice: ParsedSlice };

addEventListener('message', ({ data }: MessageEvent<ParseRequest>) => {
  reply({ id: data.id, slice: parseSlice(data.source, data.definitions) });
});
reply('ready');

function reply(message: ParseReply): void {
  postMessage(message);
}
