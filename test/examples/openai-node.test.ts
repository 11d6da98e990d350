// examples/openai-node beside a real server.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startedServer } from '../process/started-server.ts';
import { numbers } from './counted.ts';
import { timeLimit } from '../support/slowness.ts';
import { InstalledExample } from './installed-example.ts';

vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

let example: InstalledExample;
beforeAll(async () => (example = await InstalledExample.install('openai-node')));
afterAll(() => example.close());

/** Runs a script of the example beside a server of its own, and resolves to what it printed. */
async function printed(script: string, ...prompt: readonly string[]): Promise<string> {
  const server = await startedServer();
  return example.done(process.execPath, [script, ...prompt], { TOKEN: server.token, HOLDLINE_URL: server.url });
}

describe('examples/openai-node', () => {
  it('chat-completion.js streams an answer', async () => {
    expect(await printed('chat-completion.js', 'count 40 at 100/s')).toBe(`${numbers(40)}\n`);
  });

  it('resume.js cuts its stream and reads exactly the rest', async () => {
    const [before = '', after = ''] = (await printed('resume.js', 'count 60 at 30/s')).split('\n--- cut ---\n');
    expect(before).not.toBe('');
    expect(after.length).toBeGreaterThan(before.length);
    expect(before + after).toBe(`${numbers(60)}\n`);
  });

  it('stop.js stops a response and reads what was said', async () => {
    const [, text = ''] = /^cancelled: ([\d ]+)\n$/.exec(await printed('stop.js', 'count 5000 at 30/s')) ?? [];
    expect(text).not.toBe('');
    expect(text.length).toBeLessThan(numbers(5000).length);
    expect(numbers(5000).startsWith(text)).toBe(true);
  });

  it('conversation.js holds a conversation of two prompts', async () => {
    const text = await printed('conversation.js');
    expect(text).toContain(`> count 3\n${numbers(3)}\n`);
    // The prompt, its answer and the second prompt.
    expect(text).toContain('3 messages in this conversation so far');
  });
});
