// A program with openai 7, started by test/wires/node24.test.ts under Node 24.
import OpenAI from 'openai';
import { ask, end, tell } from './ask.mjs';

const { BASE_URL = '', TOKEN = '' } = process.env;
const client = new OpenAI({ baseURL: `${BASE_URL}/openai/v1`, apiKey: TOKEN, maxRetries: 0 });

const stream = client.chat.completions.stream(
  { model: 'default', messages: [{ role: 'user', content: 'go' }] },
  { headers: { 'x-session-id': 'openai' } },
);
stream.on('content', (_delta, text) => {
  if (text === 'Hello ') void ask('continue');
});
const completion = await stream.finalChatCompletion();
const [choice] = completion.choices;
tell({ what: 'completion', text: choice?.message.content, reason: choice?.finish_reason });
const later = await client.chat.completions.retrieve(completion.id);
tell({ what: 'later', text: later.choices[0]?.message.content, isSame: later.id === completion.id });

const { sessions } = client.beta.agents;
const session = await sessions.create({ environment: { type: 'none' }, agent: { model: 'default' }, input: 'go' });
tell({ what: 'session', status: session.status, environment: session.environment.type });
await sessions.events.create(session.id, { events: [{ type: 'agent.session.input.cancel' }] });
const result = await sessions.turns.list(session.id);
tell({ what: 'turn', status: result.data[0]?.status });
end();
