// The handle of a model server process (model-process.ts): starts it, reads its counts, changes its rate.
import { Child, childEnv } from '../../test/support/child.ts';
import { freePort } from '../../test/support/server-process.ts';
import { scriptBeside } from './script-beside.ts';

const MAIN = scriptBeside('model-process', import.meta.url);

export interface ModelCounts {
  readonly started: number;
  readonly finished: number;
  readonly underWay: number;
  /** The most answers that were under way at once. */
  readonly most: number;
  /** Tenant → tokens. */
  readonly served: Readonly<Record<string, number>>;
}

export class ModelServer {
  readonly #url: string;
  readonly #child: Child;

  private constructor(url: string, child: Child) {
    this.#url = url;
    this.#child = child;
  }

  /** @param rate tokens a second of each answer */
  static async start(rate: number): Promise<ModelServer> {
    const port = await freePort();
    const env = childEnv({ PORT: String(port), RATE: String(rate) });
    const child = new Child(process.execPath, [...MAIN.execArgv, MAIN.path], { env });
    await child.line(/^the model server listens/);
    return new ModelServer(`http://127.0.0.1:${port}`, child);
  }

  get baseUrl(): string {
    return `${this.#url}/v1`;
  }

  async counts(): Promise<ModelCounts> {
    return (await (await fetch(`${this.#url}/counts`)).json()) as ModelCounts;
  }

  /** The ids of all prompts in the order in which their answers began, with the wall clock. */
  async begun(): Promise<readonly (readonly [id: string, at: number])[]> {
    return (await (await fetch(`${this.#url}/begun`)).json()) as [string, number][];
  }

  async setRate(tokensPerSecond: number): Promise<void> {
    await fetch(`${this.#url}/rate?${tokensPerSecond}`, { method: 'PUT' });
  }

  async close(): Promise<void> {
    await this.#child.kill('SIGKILL');
  }
}
