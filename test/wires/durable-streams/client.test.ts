// The client package of the Durable Streams protocol, as an application uses it, against a gateway over a real socket.
import { DurableStream, IdempotentProducer, stream } from '@durable-streams/client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startHarness } from '../../support/gateway-harness.ts';

async function startClient() {
  const h = await startHarness();
  const { url } = await h.listen();
  const headersOf = (user: string) => ({ Authorization: h.bearer(user) });
  const urlOf = (name: string): string => `${url}/ds/v1/stream/${name}`;
  return { h, urlOf, headers: headersOf('ann'), headersOf };
}

async function endOf(handle: DurableStream): Promise<string> {
  const head = await handle.head();
  return head.exists ? (head.offset ?? '') : '';
}

describe('the client package', () => {
  it('creates, appends, reads to the end, and removes', async () => {
    const { urlOf, headers } = await startClient();
    const handle = await DurableStream.create({ url: urlOf('a'), headers, contentType: 'text/plain', body: 'one ' });
    await handle.append('two ');
    await handle.append('three');
    const read = await stream({ url: urlOf('a'), headers, live: false });
    expect(await read.text()).toBe('one two three');
    const offset = await endOf(handle);
    await handle.append('!');
    expect(await (await stream({ url: urlOf('a'), headers, offset, live: false })).text()).toBe('!');
    await handle.delete();
    expect(await DurableStream.head({ url: urlOf('a'), headers })).toMatchObject({ exists: false });
  });

  it.each(['long-poll', 'sse'] as const)(
    'follows a JSON stream over %s from any place, until it is closed',
    async (live) => {
      const { urlOf, headers } = await startClient();
      const handle = await DurableStream.create({ url: urlOf('j'), headers, contentType: 'application/json' });
      const follow = async (offset: string): Promise<unknown[]> => {
        const read = await stream({ url: urlOf('j'), headers, offset, live });
        const seen: unknown[] = [];
        read.subscribeJson((batch) => void seen.push(...batch.items));
        await read.closed;
        return seen;
      };
      const items = Array.from({ length: 20 }, (_, i) => ({ i, text: `line\n${i}` }));
      const offsets = ['-1'];
      const whole = follow('-1');
      for (const item of items) {
        await handle.append(JSON.stringify(item));
        offsets.push(await endOf(handle));
      }
      const resumed = Promise.all(offsets.map(follow));
      await handle.close();
      expect(await whole).toEqual(items);
      expect(await resumed).toEqual(offsets.map((_, i) => items.slice(i)));
    },
  );

  it('shuts a producer out that another process has replaced', async () => {
    const { urlOf, headers } = await startClient();
    const handle = await DurableStream.create({ url: urlOf('p'), headers, contentType: 'text/plain' });
    const errors: unknown[] = [];
    const first = new IdempotentProducer(handle, 'writer', { epoch: 0, onError: (error) => void errors.push(error) });
    const second = new IdempotentProducer(handle, 'writer', { epoch: 1 });
    onTestFinished(async () => {
      await first.detach();
      await second.detach();
    });
    first.append('a');
    await first.flush();
    second.append('b');
    await second.flush();
    first.append('c');
    await first.flush().catch((error: unknown) => void errors.push(error));
    expect(errors.length).toBeGreaterThan(0);
    expect(await (await stream({ url: urlOf('p'), headers, live: false })).text()).toBe('ab');
  });

  it('finds nothing of another user', async () => {
    const { urlOf, headers, headersOf } = await startClient();
    await DurableStream.create({ url: urlOf('mine'), headers, contentType: 'text/plain' });
    const url = urlOf('mine');
    expect(await DurableStream.head({ url, headers: headersOf('bob') })).toMatchObject({ exists: false });
    await expect(stream({ url, headers: headersOf('bob'), live: false })).rejects.toMatchObject({ status: 404 });
  });
});
