// How a server reaches its model: through the proxy that the environment names or past it, and over TLS with a
// certificate authority of the operator's own.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttp, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createOutbound } from '../../src/base/outbound.ts';
import { ForwardProxy } from '../support/forward-proxy.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { configFaults } from './config-faults.ts';
import { JoinedStory } from './joined-story.ts';
import { follow, prompt, startedServer } from './started-server.ts';

vi.setConfig({ testTimeout: timeLimit(60_000) });

const CERTIFICATE = fileURLToPath(new URL('../support/certificate/loopback.crt', import.meta.url));
const KEY = fileURLToPath(new URL('../support/certificate/loopback.key', import.meta.url));
const SECRET_OF_PROXY = 'hush-proxy';
const ANSWER = [
  'data: {"choices":[{"index":0,"delta":{"content":"through "}}]}\n\n',
  'data: {"choices":[{"index":0,"delta":{"content":"it"},"finish_reason":"stop"}]}\n\n',
  'data: [DONE]\n\n',
].join('');

const answer: RequestListener = (request, response) => {
  request.resume().on('end', () => response.writeHead(200, { 'content-type': 'text/event-stream' }).end(ANSWER));
};

async function listening(server: Server | ReturnType<typeof createHttps>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const plainModel = async (): Promise<string> => `http://127.0.0.1:${await listening(createHttp(answer))}/v1`;

const secureModel = async (): Promise<string> => {
  const server = createHttps({ key: readFileSync(KEY), cert: readFileSync(CERTIFICATE) }, answer);
  return `https://localhost:${await listening(server)}/v1`;
};

async function proxy(options?: { readonly refuses: boolean }): Promise<ForwardProxy> {
  const started = await ForwardProxy.start(options);
  onTestFinished(() => started.close());
  return started;
}

const serverFor = (modelUrl: string, env: Readonly<Record<string, string>>): Promise<ServerProcess> =>
  startedServer({ env: { HOLDLINE_MODEL_URL: modelUrl, HOLDLINE_MODEL: 'm', ...env } });

/** The whole answer, or the error of the run. */
async function outcome(server: ServerProcess): Promise<unknown> {
  const story = new JoinedStory();
  const runId = await prompt(server, 'c', 'hello');
  const record = await follow(server, 'c', story);
  await record.until(() => story.hasEnded(runId));
  record.cut();
  const error = story.run(runId).end?.data['error'];
  return error ?? story.text(runId);
}

describe('TLS', () => {
  it('accepts the certificate authority in NODE_EXTRA_CA_CERTS', async () => {
    const server = await serverFor(await secureModel(), { NODE_EXTRA_CA_CERTS: CERTIFICATE });
    expect(await outcome(server)).toBe('through it');
  });

  it('accepts no unknown authority, and says so in the log', async () => {
    const server = await serverFor(await secureModel(), {});
    expect(await outcome(server)).toMatchObject({ code: 'upstream-unreachable' });
    expect(server.log.join('\n')).toContain('SELF_SIGNED');
  });
});

describe('a proxy', () => {
  it('tunnels to a model with https', async () => {
    const through = await proxy();
    const url = await secureModel();
    const server = await serverFor(url, {
      HTTPS_PROXY: `http://user:${SECRET_OF_PROXY}@127.0.0.1:${through.port}`,
      NODE_EXTRA_CA_CERTS: CERTIFICATE,
    });
    expect(await outcome(server)).toBe('through it');
    const authorization = `Basic ${Buffer.from(`user:${SECRET_OF_PROXY}`).toString('base64')}`;
    expect(through.asked).toEqual([{ method: 'CONNECT', target: new URL(url).host, authorization }]);
    expect(server.log.join('\n')).not.toContain(SECRET_OF_PROXY);
  });

  it('forwards to a model with http', async () => {
    const through = await proxy();
    const url = await plainModel();
    const server = await serverFor(url, { http_proxy: `http://127.0.0.1:${through.port}` });
    expect(await outcome(server)).toBe('through it');
    expect(through.asked).toMatchObject([{ method: 'POST', target: `${url}/chat/completions` }]);
  });

  it.each(['example.com,localhost', '*'])('is passed by for the hosts in NO_PROXY=%s', async (direct) => {
    const through = await proxy();
    const server = await serverFor(await secureModel(), {
      HTTPS_PROXY: `http://127.0.0.1:${through.port}`,
      NO_PROXY: direct,
      NODE_EXTRA_CA_CERTS: CERTIFICATE,
    });
    expect(await outcome(server)).toBe('through it');
    expect(through.asked).toEqual([]);
  });

  it.each([
    ['https', secureModel],
    ['http', plainModel],
  ])('that refuses fails the run, over %s, and its password is nowhere', async (_scheme, model) => {
    const through = await proxy({ refuses: true });
    const address = `http://user:${SECRET_OF_PROXY}@127.0.0.1:${through.port}`;
    const server = await serverFor(await model(), { HTTPS_PROXY: address, HTTP_PROXY: address });
    const error = await outcome(server);
    expect(error).toMatchObject({ code: expect.stringMatching(/^upstream-(unreachable|refused)$/) as string });
    expect(JSON.stringify(error) + server.log.join('\n')).not.toContain(SECRET_OF_PROXY);
  });

  it('also leads to the server of the signing keys', async () => {
    const through = await proxy();
    const port = await listening(createHttp((_request, response) => response.end('{"keys":[]}')));
    const url = new URL(`http://127.0.0.1:${port}/keys`);
    const { fetch } = createOutbound({
      http: `http://127.0.0.1:${through.port}`,
      https: undefined,
      no: undefined,
    });
    const response = await fetch(url, { redirect: 'error', signal: new AbortController().signal });
    expect(response.status).toBe(200);
    await response.body?.cancel();
    expect(through.asked).toMatchObject([{ method: 'GET', target: url.href }]);
  });

  it.each(['HTTP_PROXY', 'https_proxy'])('with a wrong address in %s is a fault without the value', (name) => {
    const [fault = '', ...others] = configFaults({ [name]: 'proxy.example:secret' });
    expect(others).toEqual([]);
    expect(fault).toContain(`${name}: must be the http(s) URL of a proxy`);
    expect(fault).not.toContain('secret');
  });
});
