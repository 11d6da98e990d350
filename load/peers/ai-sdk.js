// What an application built on the AI SDK runs: `streamText` from a model that speaks Chat Completions, to the stream
// that `useChat` reads. With `resumable`, a copy of the stream goes through `resumable-stream` and Redis, as the AI SDK's
// page on resuming streams shows.
//   PORT=… MODEL_URL=…/v1 [REDIS_URL=…] node ai-sdk.js [resumable]
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { streamText } from 'ai';
import { Redis } from 'ioredis';
import { createResumableStreamContext } from 'resumable-stream/ioredis';

const model = createOpenAICompatible({ name: 'lab', baseURL: process.env.MODEL_URL }).chatModel('lab');
const streams = process.argv[2] === 'resumable' ? resumableStreams(process.env.REDIS_URL) : undefined;

function resumableStreams(url) {
  return createResumableStreamContext({ waitUntil: null, publisher: new Redis(url), subscriber: new Redis(url) });
}

async function answer(request, response) {
  const { id, messages } = await json(request);
  const left = new AbortController();
  // With resumption an answer continues without its viewer, so nothing may abort it.
  if (streams === undefined) response.once('close', () => left.abort());
  const result = streamText({ model, messages, abortSignal: left.signal });
  result.pipeUIMessageStreamToResponse(
    response,
    streams === undefined
      ? {}
      : { consumeSseStream: async ({ stream }) => void (await streams.createNewResumableStream(id, () => stream)) },
  );
}

createServer((request, response) => {
  answer(request, response).catch(() => response.destroy());
}).listen(Number(process.env.PORT), '127.0.0.1');
// Exiting, rather than dying, is what writes a CPU profile.
process.once('SIGTERM', () => process.exit(0));
