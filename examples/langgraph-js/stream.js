// @ts-check
// A run whose stream the client resumes by itself, from the event behind the last one that it has. Cut the network or
// `kill -9` the server in the middle, and start the server again: the text continues where it was.
import { randomUUID } from 'node:crypto';
import { Client } from '@langchain/langgraph-sdk';

const client = new Client({
  apiUrl: `${process.env['HOLDLINE_URL'] ?? 'http://127.0.0.1:8080'}/langgraph`,
  apiKey: process.env['TOKEN'] ?? '',
});

const content = process.argv.slice(2).join(' ') || 'count 200 at 10/s';
const { thread_id: thread } = await client.threads.create();
// The id makes a repeated request the same run.
const input = { messages: [{ type: 'human', content, id: randomUUID() }] };
for await (const { event, data } of client.runs.stream(thread, 'default', { input, streamMode: 'messages-tuple' })) {
  if (event === 'messages') process.stdout.write(String(data[0].content));
  if (event === 'error') console.error(data);
}
process.stdout.write('\n');
