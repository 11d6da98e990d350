// The counting model server of test/process/counting-upstream.ts. Its port outlives it, so that it can be killed and
// restarted in its place.
import { fileURLToPath } from 'node:url';
import { Child, childEnv } from './child.ts';
import { freePort } from './server-process.ts';

const MAIN = fileURLToPath(new URL('../process/counting-upstream.ts', import.meta.url));

export class UpstreamProcess {
  readonly baseUrl: string;
  readonly #port: number;
  #child: Child;

  private constructor(port: number) {
    this.#port = port;
    this.baseUrl = `http://127.0.0.1:${port}/v1`;
    this.#child = this.#launch();
  }

  static async start(): Promise<UpstreamProcess> {
    const upstream = new UpstreamProcess(await freePort());
    await upstream.#serving();
    return upstream;
  }

  async kill(): Promise<void> {
    await this.#child.kill('SIGKILL');
  }

  async restart(): Promise<void> {
    this.#child = this.#launch();
    await this.#serving();
  }

  freeze(): void {
    this.#child.freeze();
  }

  thaw(): void {
    this.#child.thaw();
  }

  /** The connections that any client has open to it. */
  async openSockets(): Promise<number> {
    const answer = await fetch(`${this.baseUrl}/sockets`, { headers: { connection: 'close' } });
    return Number(await answer.text());
  }

  async close(): Promise<void> {
    await this.kill();
  }

  #launch(): Child {
    return new Child(process.execPath, ['--import', 'tsx', MAIN], { env: childEnv({ PORT: String(this.#port) }) });
  }

  async #serving(): Promise<void> {
    await this.#child.line(/^counting at /);
  }
}
