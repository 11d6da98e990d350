// One address that opens connections and sends nothing: the gateway still accepts other clients and the probes.
import { connect, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { callerOf, rangesOf } from '../../src/gateway/limits/addresses.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness } from '../support/gateway-harness.ts';

interface Idle {
  readonly socket: Socket;
  /** False once the server has closed it. */
  readonly isOpen: () => boolean;
}

async function idle(port: number, localAddress = '127.0.0.1'): Promise<Idle> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  let isOpen = true;
  socket.on('close', () => (isOpen = false));
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, isOpen: () => isOpen };
}

/** The status of an answer; 0 without an answer. */
async function ask(port: number, localAddress: string, path = '/healthz'): Promise<number> {
  const { socket } = await idle(port, localAddress);
  return new Promise((resolve) => {
    socket.setEncoding('latin1');
    socket.once('data', (text: string) => resolve(Number(text.split(' ')[1])));
    socket.once('close', () => resolve(0));
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
  });
}

describe('connections of one address', () => {
  it('are refused above their limit, and other addresses are not', async () => {
    const h = await startHarness({ config: { socketsPerAddressMax: 5 } });
    const { port } = await h.listen();
    const crowd = await Promise.all(Array.from({ length: 12 }, async () => idle(port)));
    await eventually(async () => Promise.resolve(crowd.filter((one) => !one.isOpen()).length === 7));
    expect(await ask(port, '127.0.0.1')).toBe(0);
    expect(await ask(port, '127.0.0.2')).toBe(200);
    expect((await h.call('GET', '/metrics')).text).toContain('holdline_refused_sockets_total 8');
  });

  it('can be opened again after others have closed', async () => {
    const h = await startHarness({ config: { socketsPerAddressMax: 2 } });
    const { port } = await h.listen();
    const first = await idle(port);
    await idle(port);
    expect(await ask(port, '127.0.0.1')).toBe(0);
    first.socket.destroy();
    await eventually(async () => (await ask(port, '127.0.0.1')) === 200);
  });

  it('are not counted when they come through a trusted proxy', async () => {
    const h = await startHarness({ config: { socketsPerAddressMax: 2, trustedProxies: ['127.0.0.0/30', 'fd00::/8'] } });
    const { port } = await h.listen();
    for (let i = 0; i < 5; i += 1) await idle(port);
    expect(await ask(port, '127.0.0.1')).toBe(200);
    for (let i = 0; i < 2; i += 1) await idle(port, '127.0.0.9');
    expect(await ask(port, '127.0.0.9')).toBe(0);
  });

  it('may be as many as its streams and a reserve', async () => {
    const h = await startHarness({ config: { connectionsPerAddressMax: 3 } });
    const { port } = await h.listen();
    for (let i = 0; i < 3; i += 1) await idle(port);
    expect(await ask(port, '127.0.0.1')).toBe(200);
  });
});

describe('probes and metrics', () => {
  it('are available on their own port when the other port is full', async () => {
    const h = await startHarness({ config: { socketsPerAddressMax: 1, hasProbePort: true } });
    const { port } = await h.listen();
    const { probes } = h.gateway;
    await probes?.listen({ port: 0, host: '127.0.0.1' });
    onTestFinished(async () => probes?.close());
    const own = (probes?.server.address() as AddressInfo).port;
    await idle(port);
    expect(await ask(port, '127.0.0.1')).toBe(0);
    expect([
      await ask(own, '127.0.0.1'),
      await ask(own, '127.0.0.1', '/readyz'),
      await ask(own, '127.0.0.1', '/metrics'),
    ]).toEqual([200, 200, 200]);
    expect([
      await ask(own, '127.0.0.1', '/v1/sessions'),
      await ask(port, '127.0.0.2', '/metrics'),
      await ask(port, '127.0.0.2'),
    ]).toEqual([404, 404, 200]);
    void h.gateway.drain({ windowMs: 0, deadlineMs: 0 });
    expect(await ask(own, '127.0.0.1', '/readyz')).toBe(503);
  });

  it('are not rendered again for every request above the rate', async () => {
    const h = await startHarness();
    let made = 0;
    const text = h.gateway.metrics.text.bind(h.gateway.metrics);
    h.gateway.metrics.text = async () => {
      made += 1;
      return text();
    };
    for (let i = 0; i < 60; i += 1) expect((await h.call('GET', '/metrics')).status).toBe(200);
    expect(made).toBeLessThanOrEqual(21);
    await h.clock.advance(1_000);
    await h.call('GET', '/metrics');
    expect(made).toBeGreaterThan(20);
  });
});

describe('/openapi.json', () => {
  it('can be switched off', async () => {
    const h = await startHarness({ config: { servesOpenapi: false } });
    expect((await h.call('GET', '/openapi.json')).status).toBe(404);
  });

  it('is generated once', async () => {
    const h = await startHarness();
    let made = 0;
    const swagger = h.gateway.app.swagger.bind(h.gateway.app);
    h.gateway.app.swagger = (() => {
      made += 1;
      return swagger();
    }) as typeof h.gateway.app.swagger;
    for (let i = 0; i < 3; i += 1) expect((await h.call('GET', '/openapi.json')).body['openapi']).toBe('3.1.0');
    expect(made).toBe(1);
  });
});

describe('an address', () => {
  it.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:DB8:1:2::6', '2001:db8:1:2'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
  ])('%s is counted as %s', (address, caller) => {
    expect(callerOf(address)).toBe(caller);
  });

  it('is in a range or not', () => {
    const isProxy = rangesOf(['10.0.0.0/8', '192.168.1.1', 'fd00::/8', '::1']);
    expect(['10.9.9.9', '::ffff:10.9.9.9', '192.168.1.1', 'fd12::1', '::1'].map(isProxy)).toEqual([
      true,
      true,
      true,
      true,
      true,
    ]);
    expect(['11.0.0.1', '192.168.1.2', 'fe00::1', '::2', ''].map(isProxy)).toEqual([false, false, false, false, false]);
  });
});
