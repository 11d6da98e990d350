// @ts-check
// A response in the background. Its stream is cut in the middle, and the rest comes by `starting_after`: from any node,
// also long after the end.
import { openai, promptOr } from './openai.js';

const { id } = await openai.responses.create({ model: 'default', input: promptOr('count 50'), background: true });

let last = 0;
let pieces = 0;
const stream = await openai.responses.retrieve(id, { stream: true });
for await (const event of stream) {
  last = event.sequence_number;
  if (event.type !== 'response.output_text.delta') continue;
  process.stdout.write(event.delta);
  pieces += 1;
  // Leaving the loop closes the connection. The run continues.
  if (pieces === 5) break;
}
process.stdout.write('\n--- cut ---\n');
for await (const event of await openai.responses.retrieve(id, { stream: true, starting_after: last }))
  if (event.type === 'response.output_text.delta') process.stdout.write(event.delta);
process.stdout.write('\n');
