// @ts-check
// A streamed chat completion: the next prompt of the chat `trip`.
import { randomUUID } from 'node:crypto';
import { openai, promptOr } from './openai.js';

const stream = await openai.chat.completions.create(
  { model: 'default', stream: true, messages: [{ role: 'user', content: promptOr('count 50') }] },
  // The key makes a request that the client repeats after a lost connection the same prompt.
  { headers: { 'x-session-id': 'trip', 'idempotency-key': randomUUID() } },
);
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
process.stdout.write('\n');
