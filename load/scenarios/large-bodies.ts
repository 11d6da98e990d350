// Bodies of 4 MiB: long conversations, as the clients of each wire send them, and shapes that cost a parser much.

export const BODY_BYTES = 4 * 1024 * 1024 - 4096;
/** Characters of one message of a conversation. */
const MESSAGE_CHARS = 2000;
/** Of one message where a conversation has at most 1,000 messages. */
const GIVEN_MESSAGE_CHARS = 6000;
/** Of one part where a message has at most 256 parts. */
const PART_CHARS = 20_000;
/** Below the values that a gateway reads of one body. */
const VALUES = 90_000;
const LEVELS = 50;

/** As the package `openai` sends it. */
const FIRST_TRY = { 'x-stainless-retry-count': '0' };

export interface LargeBody {
  /** Default: POST. */
  readonly method?: 'PUT';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** `name`: of the chat or the request, where the wire has one. */
  readonly body: (name: string) => unknown;
}

/** The content of a request in the words of a wire: some thousand messages, of which the last is a prompt. */
export const CONVERSATIONS: Readonly<Record<string, LargeBody>> = {
  'ai-sdk': {
    path: '/api/chat',
    headers: {},
    body: (id) => ({
      id,
      trigger: 'submit-message',
      messages: conversation(({ role, text }, n) => ({ id: `m${n}`, role, parts: [{ type: 'text', text }] })),
    }),
  },
  completions: {
    path: '/openai/v1/chat/completions',
    headers: FIRST_TRY,
    body: () => ({
      model: 'default',
      stream: true,
      messages: conversation(({ role, text }) => ({ role, content: text }), GIVEN_MESSAGE_CHARS),
    }),
  },
  responses: {
    path: '/openai/v1/responses',
    headers: FIRST_TRY,
    body: () => ({
      model: 'default',
      stream: true,
      input: conversation(({ role, text }) => ({ type: 'message', role, content: text }), GIVEN_MESSAGE_CHARS),
    }),
  },
  'items of a conversation': {
    path: '/openai/v1/conversations',
    headers: FIRST_TRY,
    body: () => ({
      items: conversation(({ role, text }) => ({ type: 'message', role, content: text }), GIVEN_MESSAGE_CHARS),
    }),
  },
  'ag-ui': {
    path: '/ag-ui/default',
    headers: {},
    body: (threadId) => ({
      threadId,
      runId: `${threadId}-run`,
      messages: conversation(({ role, text }, n) => ({ id: `${threadId}-${n}`, role, content: text })),
      tools: [],
      context: [],
      state: {},
      forwardedProps: {},
    }),
  },
  a2a: {
    path: '/a2a/default/message:stream',
    headers: { 'a2a-version': '1.0' },
    body: (contextId) => ({
      message: {
        messageId: `${contextId}-1`,
        contextId,
        role: 'ROLE_USER',
        parts: conversation(({ text }) => ({ text }), PART_CHARS),
      },
    }),
  },
  mcp: {
    path: '/mcp',
    headers: { accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-06-18' },
    body: () => ({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'start_run', arguments: { prompt: conversation(({ text }) => text).join('') } },
    }),
  },
  'durable-streams': {
    method: 'PUT',
    path: '/ds/v1/stream/large',
    headers: {},
    body: () => conversation(({ role, text }) => ({ role, text })),
  },
  langgraph: {
    path: '/langgraph/runs/stream',
    headers: {},
    body: () => ({
      assistant_id: 'default',
      input: {
        messages: conversation(({ role, text }) => ({ type: role === 'user' ? 'human' : 'ai', content: text })),
      },
      stream_mode: ['messages-tuple'],
    }),
  },
};

interface Said {
  readonly role: 'user' | 'assistant';
  readonly text: string;
}

function conversation(message: (said: Said, n: number) => unknown, chars = MESSAGE_CHARS): unknown[] {
  const messages: unknown[] = [];
  for (let bytes = 0; bytes < BODY_BYTES - 2 * chars; bytes += chars + 90)
    messages.push(
      message({ role: messages.length % 2 === 0 ? 'user' : 'assistant', text: 'x'.repeat(chars) }, messages.length),
    );
  return [...messages, message({ role: 'user', text: 'say 1 at 20/s' }, messages.length)];
}

/** One value of JSON text each, of about 4 MiB. */
export const SHAPES: Readonly<Record<string, () => string>> = {
  numbers: () => padded(`[${'1,'.repeat(VALUES)}1]`),
  'more numbers than are read': () => `[${'1,'.repeat(BODY_BYTES / 2)}1]`,
  names: () => `{${Array.from({ length: VALUES }, (_, n) => `"${String(n).padStart(38, 'n')}":1`).join(',')}}`,
  'short objects': () => padded(`[${'{"a":1},'.repeat(VALUES / 2 - 1)}{}]`),
  nested: () => padded(`[${`${'['.repeat(LEVELS)}${']'.repeat(LEVELS)},`.repeat(VALUES / LEVELS - 100)}1]`),
  'one string': () => JSON.stringify('x'.repeat(BODY_BYTES - 2)),
  'one string of escapes': () => `"${'\\u00e9'.repeat(BODY_BYTES / 6)}"`,
  'one string of quotes': () => JSON.stringify('"'.repeat(BODY_BYTES / 2 - 1)),
  'one string of three bytes a character': () => JSON.stringify('語'.repeat(BODY_BYTES / 3 - 1)),
  'short strings': () => `[${Array.from({ length: VALUES }, () => `"${'\\n'.repeat(20)}"`).join(',')}]`,
};

function padded(text: string): string {
  return text + ' '.repeat(Math.max(0, BODY_BYTES - text.length));
}
