// The users of an orchestration: each sends a task in a chat of its own and follows it to its end, over any fault of
// the workers. A user of a task of the kind `stopped` stops its run once it has begun.
import { readSse } from '../../test/support/sse-reader.ts';
import { JoinedStory } from '../../test/process/joined-story.ts';
import type { Deployment } from './deployment.ts';
import { KeepAliveHttp } from './keep-alive-http.ts';
import type { Task } from './orchestra-task.ts';

const SOCKETS = 16;
const TENANT = 'orchestra';
/** A user that sees nothing for this long gives up: the run is stuck. */
const PATIENCE_MS = 120_000;

export interface Ended {
  readonly task: Task;
  /** The terminal; `stuck` without one. */
  readonly end: string;
  readonly code: string | undefined;
  readonly text: string;
  readonly violations: readonly string[];
}

export class Orchestra {
  readonly ended: Ended[] = [];
  readonly #holdline: Deployment;
  readonly #http = new KeepAliveHttp(SOCKETS);
  readonly #token: string;

  constructor(holdline: Deployment) {
    this.#holdline = holdline;
    this.#token = holdline.token(TENANT);
  }

  /** @param onEnded called after each end */
  async play(tasks: readonly Task[], atOnce: number, onEnded: () => void): Promise<void> {
    const left = [...tasks];
    const user = async (): Promise<void> => {
      for (let task = left.shift(); task !== undefined; task = left.shift()) {
        this.ended.push(await this.#perform(task));
        onEnded();
      }
    };
    await Promise.all(Array.from({ length: atOnce }, user));
  }

  /** Deletes every chat. @throws when one is refused */
  async removeAll(): Promise<void> {
    for (const { task } of this.ended) {
      const { status } = await this.#ask('DELETE', task.id);
      if (status !== 204) throw new Error(`deleting ${task.id} was answered ${status}`);
    }
  }

  close(): void {
    this.#http.close();
  }

  async #perform(task: Task): Promise<Ended> {
    const [{ url }] = this.#holdline.gateways;
    const sent = await this.#ask('POST', `${task.id}/messages`, { content: JSON.stringify(task), agent: 'planner' });
    if (sent.status !== 202) throw new Error(`${task.id} was answered ${sent.status} ${JSON.stringify(sent.body)}`);
    const runId = String(sent.body['runId']);
    const story = new JoinedStory();
    let lastAt = performance.now();
    let isStopping = false;
    const record = await readSse({
      url,
      token: this.#token,
      sessionId: task.id,
      cutAfter: (event) => {
        lastAt = performance.now();
        story.add(event);
        if (event.event === 'delta' && task.kind === 'stopped' && !isStopping) {
          isStopping = true;
          void this.#ask('POST', `${task.id}/cancel`, {});
        }
        return story.hasEnded(runId);
      },
    });
    const watching = setInterval(() => performance.now() - lastAt > PATIENCE_MS && record.cut(), SECOND_MS);
    await record.ended;
    clearInterval(watching);
    const { event = 'stuck', data } = story.runs.get(runId)?.end ?? {};
    const { code } = (data?.['error'] as { code?: string } | undefined) ?? {};
    return { task, end: event, code, text: story.text(runId), violations: story.violations };
  }

  #ask(method: 'POST' | 'DELETE', path: string, body?: unknown): ReturnType<KeepAliveHttp['ask']> {
    const [{ url }] = this.#holdline.gateways;
    return this.#http.ask({ method, url: `${url}/v1/sessions/${path}`, token: this.#token, body });
  }
}

const SECOND_MS = 1000;
