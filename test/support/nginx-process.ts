// A real nginx with the shipped configuration, in front of gateways of this machine. Its temporary folder and its
// loopback port outlive it, so it can be restarted in its place.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NGINX_DIRECTIVES, NGINX_READY, nginxConf } from '../../deploy/nginx-conf.ts';
import { Child } from './child.ts';
import { freePort } from './server-process.ts';

export class NginxProcess {
  readonly url: string;
  readonly #folder: string;
  #child: Child | undefined;
  #isUp = false;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(gatewayPorts: readonly number[]): Promise<NginxProcess> {
    const port = await freePort();
    const folder = await mkdtemp(join(tmpdir(), 'holdline-nginx-'));
    const gateways = gatewayPorts.map((gateway) => `127.0.0.1:${gateway}`);
    await writeFile(join(folder, 'nginx.conf'), nginxConf({ listen: `127.0.0.1:${port}`, gateways }));
    const nginx = new NginxProcess(folder, port);
    try {
      await nginx.restart();
    } catch (error) {
      await nginx.close();
      throw error;
    }
    return nginx;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get log(): readonly string[] {
    return this.#child?.lines ?? [];
  }

  /** Resolves once it accepts connections. */
  async restart(): Promise<void> {
    this.#child = new Child('nginx', ['-p', this.#folder, '-e', 'stderr', '-c', 'nginx.conf', '-g', NGINX_DIRECTIVES]);
    await this.#child.line(NGINX_READY);
    this.#isUp = true;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#isUp = false;
    await this.#child?.kill(signal);
  }

  async close(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
