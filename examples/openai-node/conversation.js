// @ts-check
// Two prompts of one conversation. It is a chat: the demo page, a page with useChat and every other client see it too.
import { openai } from './openai.js';

const { id: conversation } = await openai.conversations.create({});
for (const input of ['count 3', 'How many messages are there?']) {
  const { output_text: text } = await openai.responses.create({ model: 'default', conversation, input });
  console.log(`> ${input}\n${text}\n`);
}
