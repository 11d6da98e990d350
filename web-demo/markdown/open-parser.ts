// The parser of this page: its worker, and its timers.
import type { ParseReply } from './parse-worker.ts';
import { Parser } from './parser.ts';

export function openParser(): Parser {
  return new Parser({
    openWorker: (received, failed) => {
      const worker = new Worker(new URL('./parse-worker.ts', import.meta.url), { type: 'module' });
      worker.addEventListener('message', ({ data }: MessageEvent<ParseReply>) => received(data));
      worker.addEventListener('error', failed);
      return { post: (request) => worker.postMessage(request), end: () => worker.terminate() };
    },
    after: (ms, callback) => {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
  });
}
