// What every answer tells a browser: no page of another origin may show it in a frame, load it as a resource, or hold a handle to
// its window; and a listed origin is not kept from what it may have.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startHarness, type Harness } from '../helpers/gateway-harness.ts';
import { SseClient } from '../helpers/gateway-sse-client.ts';

const LISTED = 'https://chat.example.com';

async function withPage(): Promise<Harness> {
  const demoFolder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
  onTestFinished(() => rm(demoFolder, { recursive: true, force: true }));
  await writeFile(join(demoFolder, 'index.html'), '<p>page</p>');
  return startHarness({ config: { origins: [LISTED] }, deps: { demoFolder } });
}

const ISOLATION = {
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
};

describe('the headers for browsers', () => {
  it.each([
    ['the page', '/', 200],
    ['an answer of the API', '/v1/sessions', 200],
    ['a refusal', '/v1/sessions/none', 404],
    ['an address that is none', '/nothing', 404],
    ['the description of the API', '/openapi.json', 200],
    ['the metrics', '/metrics', 200],
  ])('forbid frames, foreign loads and window handles on %s', async (_name, url, status) => {
    const h = await withPage();
    const answer = await h.call('GET', url, 'ann');
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject(ISOLATION);
    expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(answer.headers['permissions-policy']).toContain('microphone=()');
  });

  it('leave the page its own policy, under which it loads its scripts', async () => {
    const h = await withPage();
    expect((await h.call('GET', '/')).headers['content-security-policy']).toContain("default-src 'self'");
    expect((await h.call('GET', '/healthz')).headers['content-security-policy']).toContain("default-src 'none'");
  });

  it('stand on a stream as well', async () => {
    const h = await withPage();
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const stream = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    const { headers } = await stream.head;
    expect(Object.keys(ISOLATION).map((name) => headers.get(name))).toEqual(Object.values(ISOLATION));
  });

  it.each([[LISTED, 'cross-origin'], ['https://other.example.com', 'same-origin'], ['null', 'same-origin']])('let the origin %s load answers as %s', async (origin, policy) => {
    const h = await withPage();
    const answer = await h.gateway.app.inject({ url: '/healthz', headers: { origin } });
    expect(answer.headers['cross-origin-resource-policy']).toBe(policy);
  });
});
