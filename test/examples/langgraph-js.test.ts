// examples/langgraph-js beside a real server that is killed in the middle of the answer.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startedServer } from '../process/started-server.ts';
import { owned } from '../support/owned-child.ts';
import { timeLimit } from '../support/slowness.ts';
import { eventually } from '../support/wait-for.ts';
import { numbers } from './counted.ts';
import { InstalledExample } from './installed-example.ts';

vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

let example: InstalledExample;
beforeAll(async () => (example = await InstalledExample.install('langgraph-js')));
afterAll(() => example.close());

describe('examples/langgraph-js', () => {
  it('has the whole answer once, though its server is killed in the middle and started again', async () => {
    const server = await startedServer();
    const env = { TOKEN: server.token, HOLDLINE_URL: server.url };
    const child = owned(example.run(process.execPath, ['stream.js', 'count 150 at 30/s'], env));
    await eventually(() => child.stdout.includes(' 20 ') || !child.isRunning);
    await server.kill();
    expect(child.stdout.length).toBeLessThan(numbers(150).length);
    await server.restart();
    expect(await child.exited, child.stderr).toMatchObject({ code: 0 });
    expect(child.stdout).toBe(`${numbers(150)}\n`);
  });
});
