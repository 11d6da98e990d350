// The demo model: it counts exactly as the prompt says, at the pace that the prompt names, continues from any cut of
// its own text, and fails on demand.
import fc from 'fast-check';
import { marked } from 'marked';
import { describe, expect, it } from 'vitest';
import { inputIdOf } from '../../../src/session/waits/new-wait.ts';
import type { HumanAnswer, Provider, ProviderEvent } from '../../../src/worker/provider.ts';
import { BURST_MAX, createDemoProvider } from '../../../src/worker/providers/demo/demo-provider.ts';
import { COUNT_MAX, PROSE_RATE, RATE_MAX } from '../../../src/worker/providers/demo/demo-script.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { collect, requestOf, textIn, watchedSignal, type Collected } from './collect.ts';

const FAR_MS = 1e12;

/** A clock on which everything is due at once. */
const hurried: Clock = {
  now: () => 0,
  mono: (() => {
    let ms = 0;
    return () => (ms += FAR_MS);
  })(),
  after: () => {
    throw new Error('nothing to wait for');
  },
};

async function run(prompt: string, prefix?: string): Promise<Collected> {
  return collect(createDemoProvider({ clock: hurried }), requestOf(prompt, prefix === undefined ? {} : { prefix }));
}

function count(to: number): string {
  return Array.from({ length: to }, (_, index) => `${index + 1} `).join('');
}

/** The events so far, without waiting. */
function watch(
  provider: Provider,
  prompt: string,
  signal = new AbortController().signal,
): { readonly events: ProviderEvent[]; readonly ended: Promise<unknown> } {
  const events: ProviderEvent[] = [];
  const ended = (async () => {
    for await (const event of provider.stream(requestOf(prompt, { signal }))) events.push(event);
  })();
  return { events, ended };
}

describe('count N', () => {
  it('is the numbers 1 to N, one per token, each followed by one space', async () => {
    const { events, error } = await run('count 12');
    expect(error).toBeUndefined();
    expect(events.slice(0, 12)).toEqual(
      Array.from({ length: 12 }, (_, index) => ({ type: 'text', text: `${index + 1} ` })),
    );
    expect(events.slice(12)).toEqual([
      { type: 'usage', usage: { inputTokens: 2, outputTokens: 12 } },
      { type: 'finish', reason: 'stop' },
    ]);
  });

  it.each([
    'count 3',
    'Count 3',
    '  count   3  ',
    'please count 3!',
    '[check 17] count 3 at 9/s',
    'count 3 at 2.5 / s',
  ])('is obeyed as %j', async (prompt) => {
    expect(textIn((await run(prompt)).events)).toBe('1 2 3 ');
  });

  it.each(['account 3', 'count 3rd', 'count', 'count three', 'count -3'])('is not recognized in %j', async (prompt) => {
    expect(textIn((await run(prompt)).events)).toContain('demo model');
  });

  it('is read from the last user message, in parts or whole', async () => {
    const messages = [
      { role: 'user', content: 'count 9' },
      { role: 'assistant', content: 'count 8' },
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: {} },
          { type: 'text', text: 'count 2' },
        ],
      },
      { role: 'system', content: 'count 7' },
    ] as const;
    const { events } = await collect(createDemoProvider({ clock: hurried }), requestOf('', { messages }));
    expect(textIn(events)).toBe('1 2 ');
  });

  it('of nothing is an empty answer', async () => {
    expect((await run('count 0')).events.map((event) => event.type)).toEqual(['usage', 'finish']);
  });

  it.each([`count ${COUNT_MAX + 1}`, `count 5 at ${RATE_MAX + 1}/s`, 'count 5 at 0/s', 'fail after 99999999999'])(
    'beyond its bounds says them instead: %s',
    async (prompt) => {
      const { events, error } = await run(prompt);
      expect(error).toBeUndefined();
      expect(textIn(events)).toContain(String(COUNT_MAX));
    },
  );

  it('takes the largest count', async () => {
    const { events } = await run(`count ${COUNT_MAX}`);
    expect(events).toHaveLength(COUNT_MAX + 2);
    expect(events[COUNT_MAX - 1]).toEqual({ type: 'text', text: `${COUNT_MAX} ` });
  });
});

describe('fail after N', () => {
  it('counts to N and then fails as an upstream would', async () => {
    const { events, error } = await run('fail after 3');
    expect(events).toEqual([1, 2, 3].map((number) => ({ type: 'text', text: `${number} ` })));
    expect(error).toMatchObject({ code: 'upstream-error', retryable: true });
  });

  it('fails again when it is continued', async () => {
    const { events, error } = await run('fail after 3', '1 2 ');
    expect(textIn(events)).toBe('3 ');
    expect(error?.code).toBe('upstream-error');
    expect(await run('fail after 3', '1 2 3 ')).toMatchObject({ events: [], error: { code: 'upstream-error' } });
  });
});

describe('any other prompt', () => {
  it('is answered with Markdown that names the demo model', async () => {
    const text = textIn((await run('What is a *durable* log?')).events);
    expect(text).toContain('I am the **demo model** built into Holdline: a script, not a language model.');
    expect(text).toContain('5 words');
    expect(text).toContain('`What is a *durable* log?`');
    const blocks = marked
      .lexer(text)
      .map((token) => token.type)
      .filter((type) => type !== 'space');
    expect(blocks).toEqual(['heading', 'paragraph', 'heading', 'list', 'heading', 'paragraph', 'code', 'paragraph']);
  });

  it('comes word by word, and is the same each time', async () => {
    const first = await run('Hello');
    const words = first.events.flatMap((event) => (event.type === 'text' ? [event.text] : []));
    expect(words.every((word) => /^\S+\s*$/.test(word))).toBe(true);
    expect(await run('Hello')).toEqual(first);
  });

  it('is echoed harmlessly: short, on one line, in whole characters', async () => {
    const echo = /it begins with `([^`\n]*)`\n/.exec(
      textIn((await run(`a\`b\n\u0000c\ud800 ${'👩'.repeat(200)}`)).events),
    )?.[1];
    expect(echo).toMatch(/^a b c 👩+…$/u);
    expect(Array.from(echo ?? '').length).toBeLessThanOrEqual(61);
  });

  it('may contain no text', async () => {
    const { events } = await collect(createDemoProvider({ clock: hurried }), requestOf('', { messages: [] }));
    expect(textIn(events)).toContain('0 words');
  });
});

describe('a continuation', () => {
  const prompts = fc.oneof(
    fc.nat(1200).map((to) => `count ${to}`),
    fc.string({ unit: 'grapheme', maxLength: 100 }),
  );

  it('is exactly the text behind the prefix, wherever it was cut', async () => {
    await fc.assert(
      fc.asyncProperty(prompts, fc.nat(), async (prompt, at) => {
        const whole = textIn((await run(prompt)).events);
        const cut = at % (whole.length + 1);
        const rest = await run(prompt, whole.slice(0, cut));
        expect(whole.slice(0, cut) + textIn(rest.events)).toBe(whole);
        expect(rest.events.at(-1)).toEqual({ type: 'finish', reason: 'stop' });
      }),
    );
  });

  it('is exact for every cut inside and between numbers', async () => {
    const whole = count(112);
    for (let cut = 0; cut <= whole.length; cut += 1) {
      expect(textIn((await run('count 112', whole.slice(0, cut))).events)).toBe(whole.slice(cut));
    }
  });

  it.each(['2 ', '1 2 4', '1 2 3 4', 'x'])('is refused for a prefix of another text: %j', async (prefix) => {
    expect((await run('count 3', prefix)).error).toMatchObject({ code: 'upstream-refused', retryable: false });
  });

  it('counts only its own tokens as output', async () => {
    expect((await run('count 5', '1 2 3 ')).events.at(-2)).toEqual({
      type: 'usage',
      usage: { inputTokens: 5, outputTokens: 2 },
    });
  });
});

describe('the pace', () => {
  it('gives token k at k / R after the start', async () => {
    const clock = new ManualClock();
    const { events, ended } = watch(createDemoProvider({ clock }), 'count 10 at 4/s');
    await clock.advance(249);
    expect(events).toHaveLength(0);
    await clock.advance(1);
    expect(events).toHaveLength(1);
    await clock.advance(1000);
    expect(textIn(events)).toBe(count(5));
    await clock.advance(1250);
    await ended;
    expect(textIn(events)).toBe(count(10));
    expect(clock.timers).toBe(0);
  });

  it.each([
    ['count 200', 50],
    ['hello', PROSE_RATE],
    ['count 20 at 2.5/s', 2.5],
    ['fail after 50 at 8/s', 8],
  ])('of %j is %f a second', async (prompt, rate) => {
    const clock = new ManualClock();
    const { events } = watch(createDemoProvider({ clock }), prompt);
    await clock.advance(2000);
    expect(events).toHaveLength(2 * rate);
  });

  it('does not drift at rates whose gaps are not whole milliseconds', async () => {
    const clock = new ManualClock();
    const { events } = watch(createDemoProvider({ clock }), 'count 1000 at 70/s');
    await clock.advance(10_000);
    expect(events).toHaveLength(700);
  });

  it('catches up at once after a slow reader', async () => {
    const clock = new ManualClock();
    const stream = createDemoProvider({ clock }).stream(requestOf('count 100 at 10/s'))[Symbol.asyncIterator]();
    const first = stream.next();
    await clock.advance(100);
    await first;
    await clock.advance(4900);
    for (let number = 2; number <= 50; number += 1)
      expect((await stream.next()).value).toEqual({ type: 'text', text: `${number} ` });
    expect(clock.timers).toBe(0);
    const next = stream.next();
    await clock.advance(0);
    expect(clock.timers).toBe(1);
    await clock.advance(100);
    expect((await next).value).toEqual({ type: 'text', text: '51 ' });
    await stream.return?.();
    expect(clock.timers).toBe(0);
  });

  it('yields to the process while it catches up', async () => {
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      immediate = setImmediate(turn);
    };
    let immediate = setImmediate(turn);
    await run(`count ${10 * BURST_MAX}`);
    clearImmediate(immediate);
    expect(turns).toBeGreaterThanOrEqual(9);
  });
});

describe('an abort', () => {
  it('ends the wait and leaves no timer', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const { events, ended } = watch(createDemoProvider({ clock }), 'count 100', controller.signal);
    await clock.advance(100);
    expect(events).toHaveLength(5);
    controller.abort();
    await ended;
    expect(events).toHaveLength(5);
    expect(clock.timers).toBe(0);
  });

  it('before the start emits nothing', async () => {
    const { events, ended } = watch(createDemoProvider({ clock: new ManualClock() }), 'count 100', AbortSignal.abort());
    await ended;
    expect(events).toEqual([]);
  });

  it('leaves no listener on a signal that outlives the call', async () => {
    const { signal, listeners } = watchedSignal();
    const stream = createDemoProvider({ clock: hurried })
      .stream(requestOf('count 3', { signal }))
      [Symbol.asyncIterator]();
    await stream.next();
    expect(listeners.size).toBe(1);
    await stream.return?.();
    expect(listeners.size).toBe(0);
  });
});

describe('ask', () => {
  async function askRun(prompt: string, answers: readonly HumanAnswer[] = [], key = ''): Promise<Collected> {
    const { run: runRef } = requestOf(prompt);
    const earlier = {
      leg: answers.length,
      messages: [],
      calls: [],
      answers: new Map(answers.map((answer, leg) => [inputIdOf(runRef.runId, leg, key), answer])),
    };
    const more = answers.length === 0 ? {} : { earlier };
    return collect(createDemoProvider({ clock: hurried }), requestOf(prompt, more));
  }

  it.each([
    ['ask approval', [{ key: 'mail', kind: 'approval', toolCallId: 'demo-mail', toolName: 'send_mail' }]],
    ['Please ask question!', [{ key: 'colour', kind: 'question', choices: ['red', 'green', 'blue'] }]],
    ['ask form', [{ key: 'address', kind: 'question', schema: { type: 'object', required: ['street'] } }]],
    ['ask tool', [{ key: 'place', kind: 'tool', toolCallId: 'demo-place', toolName: 'get_location' }]],
    ['ask both', [{ kind: 'approval' }, { kind: 'question' }]],
  ])('%s says a text and waits for that', async (prompt, inputs) => {
    const { events, error } = await askRun(prompt);
    expect(error).toBeUndefined();
    expect(textIn(events)).not.toBe('');
    expect(events.at(-1)).toMatchObject({ type: 'wait', inputs });
  });

  it.each(['task approval', 'ask approvals', 'ask', 'ask a question'])('is not recognized in %j', async (prompt) => {
    expect((await askRun(prompt)).events.at(-1)).toEqual({ type: 'finish', reason: 'stop' });
  });

  it('waits as long as the prompt says, and fails then if it says so', async () => {
    const { events } = await askRun('ask question within 90 s or fail');
    expect(events.at(-1)).toMatchObject({ expiresInMs: 90_000, onExpiry: 'fail' });
  });

  it.each<[string, string, HumanAnswer, string]>([
    ['ask approval', 'mail', { kind: 'approval', approved: true }, 'It is sent. '],
    ['ask approval', 'mail', { kind: 'approval', approved: false, reason: 'no' }, 'It is not sent: no. '],
    ['ask question', 'colour', { kind: 'question', value: 'red' }, 'You gave me `"red"`. '],
    ['ask question', 'colour', { kind: 'question', isExpired: true }, 'You gave me nothing in time. '],
    ['ask tool', 'place', { kind: 'tool', result: { city: 'Turin' } }, 'You gave me `{"city":"Turin"}`. '],
    ['ask tool', 'place', { kind: 'tool', error: 'no permission' }, 'You gave me nothing: no permission. '],
  ])('%s says what came back for %s: %j', async (prompt, key, answer, text) => {
    const { events } = await askRun(prompt, [answer], key);
    expect(textIn(events)).toBe(text);
    expect(events.at(-1)).toEqual({ type: 'finish', reason: 'stop' });
  });

  it('writes the result of its own call once it is approved', async () => {
    const { events } = await askRun('ask approval', [{ kind: 'approval', approved: true }], 'mail');
    expect(events[0]).toEqual({ type: 'tool-result', toolCallId: 'demo-mail', result: { sent: true } });
  });

  it('twice waits two times', async () => {
    expect((await askRun('ask twice')).events.at(-1)).toMatchObject({ type: 'wait', inputs: [{ key: 'colour' }] });
    const red = { kind: 'question', value: 'red' } as const;
    const second = await askRun('ask twice', [red], 'colour');
    expect(textIn(second.events)).toBe('You gave me `"red"`. \n\nI have written a mail to Ada. ');
    expect(second.events.at(-1)).toMatchObject({ type: 'wait', inputs: [{ key: 'mail' }] });
    const third = await askRun('ask twice', [red, { kind: 'approval', approved: true }], 'mail');
    expect(third.events.at(-1)).toEqual({ type: 'finish', reason: 'stop' });
  });
});
