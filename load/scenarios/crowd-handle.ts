// The handle of a crowd process (crowd-process.ts).
import { fork, type ChildProcess } from 'node:child_process';
import { childEnv } from '../../test/support/child.ts';
import type { CrowdFigures, CrowdPlan } from './crowd.ts';
import type { FromCrowd, ToCrowd } from './crowd-process.ts';
import { scriptBeside } from './script-beside.ts';

const MAIN = scriptBeside('crowd-process', import.meta.url);

export class CrowdHandle {
  readonly #process: ChildProcess;
  readonly #opened: Promise<unknown>;
  readonly #settled: Promise<CrowdFigures>;
  connected = 0;
  refused = 0;
  prompts = 0;

  constructor() {
    const { HOLDLINE_TEST_SEED: seed } = process.env;
    const env = childEnv(seed === undefined ? {} : { HOLDLINE_TEST_SEED: seed });
    this.#process = fork(MAIN.path, {
      execArgv: [...MAIN.execArgv],
      env,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const said = async <Is extends FromCrowd['is']>(is: Is): Promise<Extract<FromCrowd, { is: Is }>> =>
      new Promise((resolve, reject) => {
        this.#process.on('message', (message: FromCrowd) => {
          if (message.is === is) resolve(message as Extract<FromCrowd, { is: Is }>);
        });
        this.#process.once('exit', () => reject(new Error('a crowd process ended')));
      });
    this.#opened = said('open');
    this.#settled = said('settled').then(({ figures }) => figures);
    // A crowd that is closed early waits for neither.
    for (const waiting of [this.#opened, this.#settled]) waiting.catch(() => undefined);
    this.#process.on('message', (message: FromCrowd) => {
      if (message.is === 'status')
        ({ connected: this.connected, refused: this.refused, prompts: this.prompts } = message);
    });
  }

  /** Resolves when every reader of the crowd was connected. @throws when the process ends before that */
  async open(plan: CrowdPlan): Promise<void> {
    this.#say({ do: 'open', plan });
    await this.#opened;
  }

  talk(): void {
    this.#say({ do: 'talk' });
  }

  hit(what: string): void {
    this.#say({ do: 'hit', what });
  }

  /** @throws when the process ends before that */
  async settle(): Promise<CrowdFigures> {
    this.#say({ do: 'settle' });
    return this.#settled;
  }

  close(): void {
    this.#process.kill('SIGKILL');
  }

  #say(message: ToCrowd): void {
    this.#process.send(message);
  }
}
