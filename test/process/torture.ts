// Faults for processes while chats continue. At random moments one or two processes are killed, stopped (SIGSTOP) and
// continued, or stopped and killed. Each is up again before the next fault.
import type { ChatStory } from './chat-story.ts';

/** A process that a test can stop and kill. */
export interface Victim {
  readonly name: string;
  /** True for a model server: while it is down, runs may fail. */
  readonly isModel: boolean;
  kill(): Promise<unknown>;
  restart(): Promise<void>;
  freeze(): void;
  thaw(): void;
}

export type Victims = readonly [Victim, ...Victim[]];

/** How long a process is stopped or dead: a moment, or longer than a lease. The length is the fault itself. */
const PAUSES_MS = [20, 300, 1_500] as const;

export class Torture {
  readonly #story: ChatStory;
  readonly #victims: Victims;
  #blows = 0;

  constructor(story: ChatStory, victims: Victims) {
    this.#story = story;
    this.#victims = victims;
  }

  get blows(): number {
    return this.#blows;
  }

  async until(isOver: () => boolean): Promise<void> {
    const { random } = this.#story;
    while (!isOver()) {
      await this.#story.moment();
      const victims = new Set([random.pick(this.#victims), random.pick(this.#victims)]);
      await Promise.all([...victims].map(async (victim) => this.#strike(victim)));
    }
  }

  async #strike(victim: Victim): Promise<void> {
    const blow = this.#story.random.pick(['kill', 'pause', 'pause', 'pause and kill']);
    this.#blows += 1;
    this.#story.hit(`${blow} ${victim.name}`);
    if (blow !== 'kill') victim.freeze();
    if (blow !== 'kill') await this.#pause();
    if (blow === 'pause') victim.thaw();
    else await this.#killed(victim);
  }

  async #killed(victim: Victim): Promise<void> {
    if (victim.isModel) this.#story.modelDies();
    await victim.kill();
    await this.#pause();
    await victim.restart();
    if (victim.isModel) this.#story.modelIsBack();
  }

  async #pause(): Promise<void> {
    const ms = this.#story.random.pick(PAUSES_MS);
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
