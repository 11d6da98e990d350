// kill -9 of a server at random moments, again and again, while chats continue.
import { expect } from 'vitest';
import type { ServerProcess } from '../support/server-process.ts';
import { ChatStory } from './chat-story.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface KillPlan {
  readonly kills: number;
  readonly sessions: number;
}

export class KillStory {
  readonly #server: ServerProcess;
  readonly #random: SeededRandom;
  #kills = 0;

  constructor(server: ServerProcess, random: SeededRandom) {
    this.#server = server;
    this.#random = random;
  }

  async play({ kills, sessions }: KillPlan): Promise<void> {
    const server = this.#server;
    const story = new ChatStory({ server, token: server.token, random: this.#random, sessions });
    await story.play(
      () => this.#killAll(story, kills),
      () => [{ name: 'last life', url: server.url }],
    );
    console.info(`kills ${this.#kills}`);
    expect(story.takeovers).toBeGreaterThan(0);
  }

  async #killAll(story: ChatStory, kills: number): Promise<void> {
    while (this.#kills < kills) {
      await story.spareTheHit();
      await story.moment();
      await this.#kill(story);
      // Sometimes the next start is killed before it serves.
      if (this.#kills < kills && this.#random.between(1, 5) === 1) {
        await this.#server.launch().line(this.#random.pick([/Server listening/, /holdline serves/]));
        await this.#kill(story);
      }
      await this.#server.restart();
    }
  }

  async #kill(story: ChatStory): Promise<void> {
    this.#kills += 1;
    story.hit('kill -9');
    await this.#server.kill('SIGKILL');
  }
}
