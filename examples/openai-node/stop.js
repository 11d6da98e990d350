// @ts-check
// Stop: ends the run for everybody. What was said until then stays.
import { openai, promptOr } from './openai.js';

const { id } = await openai.responses.create({ model: 'default', input: promptOr('count 5000'), background: true });
for await (const event of await openai.responses.retrieve(id, { stream: true }))
  if (event.type === 'response.output_text.delta') break;
await openai.responses.cancel(id);
const { status, output_text: text } = await openai.responses.retrieve(id);
console.log(`${status}: ${text}`);
