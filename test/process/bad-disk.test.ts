// A server whose disk is full, whose flush fails, whose folder another server uses, or that receives SIGTERM: it says
// so, loses nothing that it acknowledged, and comes back.
import { describe, expect, it, type TestContext, vi } from 'vitest';
import { Child } from '../support/child.ts';
import { freePort, holdline, type ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { WsReader } from '../support/ws-reader.ts';
import { call, type HttpAnswer } from './http-call.ts';
import { counted, JoinedStory } from './joined-story.ts';
import { mountSmallDisk } from './small-disk.ts';
import { follow, into, post, prompt, startedServer, wholeStory } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const EXIT_STORAGE_FAILED = 74;
const EXIT_LOCKED = 75;
const DISK_MEBIBYTES = 24;
/** More than the space that may be left in the log's last page. */
const LARGE = 'x'.repeat(8192);

/** Skips with a message, so that an unproven promise does not look proven. */
function skipLoudly(context: TestContext, why: string): never {
  console.warn(`NOT PROVED: ${context.task.name}: ${why}`);
  return context.skip(why);
}

async function ready(server: ServerProcess): Promise<HttpAnswer> {
  return call({ method: 'GET', url: `${server.url}/readyz` });
}

describe('a full disk', () => {
  it('refuses writes, serves reads, keeps streams, and heals without a restart', async (context) => {
    const disk = await mountSmallDisk(context, DISK_MEBIBYTES);
    const server = await startedServer({ folder: disk.folder });
    const story = new JoinedStory();
    const runId = await prompt(server, 'runs', 'count 600 at 300/s');
    const stream = await follow(server, 'runs', story);
    await stream.until(() => story.text(runId).length > 100);
    await disk.fill();

    const refused = await post(server, 'full/messages', { content: LARGE });
    expect(refused).toMatchObject({ status: 507, body: { error: { code: 'disk-full', retryable: true } } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    const socket = await WsReader.open(server.url, server.token);
    expect(await socket.ask('send', { sessionId: 'full', content: LARGE })).toMatchObject({
      type: 'error',
      code: 'disk-full',
      retryable: true,
    });
    socket.cut();
    // It stays ready: its readers would find no other node to read from.
    expect(await ready(server)).toMatchObject({ status: 200, body: { broker: 'full' } });
    const before = await wholeStory(server, 'runs');
    expect(before.text(runId).length).toBeGreaterThanOrEqual(100);
    expect(stream.isEnded).toBe(false);

    await disk.free();
    const written = await prompt(server, 'full', 'count 4 at 1000/s');
    await stream.until(() => story.hasEnded(runId));
    expect(story.text(runId)).toBe(counted(600));
    expect(story.violations).toEqual([]);
    expect(await ready(server)).toMatchObject({ status: 200, body: { broker: 'ready' } });
    expect(server.lives).toBe(1);

    await server.kill('SIGKILL');
    await server.restart();
    expect((await wholeStory(server, 'runs')).text(runId)).toBe(counted(600));
    // A refused prompt is not in the log.
    const full = await wholeStory(server, 'full');
    expect(full.steps.filter(({ event }) => event === 'run.queued').map(({ data }) => data['runId'])).toEqual([
      written,
    ]);
  });

  it('stops in order and starts again, and serves what it has', async (context) => {
    const disk = await mountSmallDisk(context, DISK_MEBIBYTES);
    const server = await startedServer({ folder: disk.folder });
    const runId = await prompt(server, 'kept', 'count 30 at 500/s');
    const story = new JoinedStory();
    await (await follow(server, 'kept', story)).until(() => story.hasEnded(runId));
    await disk.fill();
    expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    await server.restart();
    expect((await wholeStory(server, 'kept')).text(runId)).toBe(counted(30));
    expect((await post(server, 'kept/messages', { content: LARGE })).status).toBe(507);
    await server.kill('SIGKILL');
    await server.restart();
    expect((await wholeStory(server, 'kept')).text(runId)).toBe(counted(30));
    await disk.free();
    await prompt(server, 'kept', 'count 3');
    expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });
  });
});

describe('a flush that fails', () => {
  it('ends the process with the reason, and after a restart everything acknowledged is served', async (context) => {
    const server = await startedServer();
    const story = new JoinedStory();
    const runId = await prompt(server, 'flushed', 'count 400 at 200/s');
    const stream = await follow(server, 'flushed', story);
    await stream.until(() => story.text(runId).length > 100);

    const strace = new Child('strace', [
      '-f',
      '-p',
      String(server.child.pid),
      '-e',
      'trace=fdatasync',
      '-e',
      'inject=fdatasync:error=EIO',
    ]);
    const attached = await strace.line(/attached/).catch(() => undefined);
    if (attached === undefined)
      return skipLoudly(context, `strace (a Debian package) cannot be used here: ${strace.stderr}`);
    expect(await server.child.exited).toEqual({ code: EXIT_STORAGE_FAILED, signal: null });
    expect(
      server.log.filter((line) => line.includes('storage failed') && line.includes('EIO: i/o error, fdatasync')),
    ).toHaveLength(1);
    await strace.exited;
    await stream.ended;

    await server.restart();
    await (await follow(server, 'flushed', story)).until(() => story.hasEnded(runId));
    expect(story.text(runId)).toBe(counted(400));
    expect(story.violations).toEqual([]);
  });
});

describe('a second server on the same folder', () => {
  it('is refused in one line, and starts once the first server is killed', async () => {
    const server = await startedServer();
    const runId = await prompt(server, 'mine', 'count 5 at 1000/s');
    const env = { ...server.env, PORT: String(await freePort()) };
    const refused = holdline(['serve'], { env });
    expect(await refused.exited).toEqual({ code: EXIT_LOCKED, signal: null });
    expect(refused.stdout).toBe('');
    expect(refused.stderr).toBe(
      `holdline: locked: another process holds ${server.folder}: usually a server that was started there before and still runs; stop it, or set HOLDLINE_BROKER to another folder\n`,
    );

    await server.kill('SIGKILL');
    const second = await startedServer({ folder: server.folder });
    expect((await wholeStory(second, 'mine')).runs.has(runId)).toBe(true);
  });
});

describe('SIGTERM', () => {
  it('ends every stream with a request to reconnect, hands over the answer, exits with 0, and the next start finishes the answer', async () => {
    const server = await startedServer({ env: { HOLDLINE_DRAIN_MS: '1000' } });
    const [overSse, overWs] = [new JoinedStory(), new JoinedStory()];
    const runId = await prompt(server, 'drained', 'count 600 at 300/s');
    const stream = await follow(server, 'drained', overSse);
    const socket = await WsReader.open(server.url, server.token);
    const subscription = await socket.subscribe('drained', undefined, { cutAfter: into(overWs) });
    await stream.until(() => overSse.text(runId).length > 100);
    await subscription.until(() => overWs.text(runId).length > 100);

    const exit = server.kill('SIGTERM');
    expect(await stream.until(({ event }) => event === 'reconnect')).toMatchObject({
      data: { afterMs: expect.any(Number) as number },
    });
    expect(await stream.ended).toBe('ended');
    expect(await socket.closed).toBe(4503);
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(overSse.hasEnded(runId)).toBe(false);

    await server.restart();
    const next = await WsReader.open(server.url, server.token);
    const resumed = await next.subscribe('drained', overWs.position, { cutAfter: into(overWs) });
    await (await follow(server, 'drained', overSse)).until(() => overSse.hasEnded(runId));
    await resumed.until(() => overWs.hasEnded(runId));
    next.cut();
    for (const story of [overSse, overWs]) {
      expect(story.text(runId)).toBe(counted(600));
      expect(story.violations).toEqual([]);
      expect(story.steps.map(({ event }) => event)).toEqual([
        'message.created',
        'run.queued',
        'run.started',
        'run.restarted',
        'run.completed',
      ]);
    }
  });
});
