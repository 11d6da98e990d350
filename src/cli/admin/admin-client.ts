// The command line's side of `holdline topics`: reads LiteTopics through the running server.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Broker, GroupBroker, ReadResult, TailOptions } from '../../broker/broker.ts';
import type { BrokerHealth, DamagedTopic, LostPart, RecordChecking } from '../../broker/health.ts';
import type { StopSignal } from '../../base/stop-signal.ts';
import {
  ADMIN_ANSWER_BYTES_MAX,
  withSocketPath,
  type AdminAnswer,
  type AdminRequest,
  type TopicStore,
} from './admin-protocol.ts';
import { readLines } from './read-lines.ts';

/** The server's refusal, with its code. */
export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The server that holds the folder; undefined where none runs. */
export async function connectAdmin(folder: string): Promise<TopicStore | undefined> {
  const socket = await withSocketPath(folder, open);
  if (socket === undefined) return undefined;
  socket.destroy();
  return new AdminClient(folder);
}

async function open(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return socket;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // No server, or the socket of a process that died.
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    throw error;
  }
}

class AdminClient implements TopicStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async health(): Promise<BrokerHealth> {
    return this.#call({ op: 'health' });
  }

  async check(...args: Parameters<RecordChecking['check']>): ReturnType<RecordChecking['check']> {
    return this.#call({ op: 'check', args });
  }

  async checkIndex(): Promise<string | undefined> {
    // JSON has no undefined.
    return (await this.#call<string | null>({ op: 'checkIndex' })) ?? undefined;
  }

  async agents(): Promise<readonly string[] | undefined> {
    return (await this.#call<readonly string[] | null>({ op: 'agents' })) ?? undefined;
  }

  async damaged(): Promise<readonly DamagedTopic[]> {
    return this.#call({ op: 'damaged' });
  }

  async lostParts(): Promise<readonly LostPart[]> {
    return this.#call({ op: 'lostParts' });
  }

  async list(...args: Parameters<Broker['list']>): ReturnType<Broker['list']> {
    return this.#call({ op: 'list', args });
  }

  async describe(...args: Parameters<Broker['describe']>): ReturnType<Broker['describe']> {
    const infos = await this.#call<(Awaited<ReturnType<Broker['describe']>>[number] | null)[]>({
      op: 'describe',
      args,
    });
    return infos.map((info) => info ?? undefined);
  }

  async read(...args: Parameters<Broker['read']>): ReturnType<Broker['read']> {
    return this.#call({ op: 'read', args });
  }

  async remove(...args: Parameters<Broker['remove']>): ReturnType<Broker['remove']> {
    return this.#call({ op: 'remove', args });
  }

  async append(...args: Parameters<Broker['append']>): ReturnType<Broker['append']> {
    return this.#call({ op: 'append', args });
  }

  async setPaused(...args: Parameters<GroupBroker['setPaused']>): ReturnType<GroupBroker['setPaused']> {
    return this.#call({ op: 'pause', args });
  }

  async release(...args: Parameters<TopicStore['release']>): ReturnType<TopicStore['release']> {
    return this.#call({ op: 'release', args });
  }

  async *tail(
    topic: Parameters<Broker['tail']>[0],
    from: Parameters<Broker['tail']>[1],
    { signal }: TailOptions,
  ): AsyncGenerator<ReadResult> {
    for await (const answer of this.#ask({ op: 'tail', args: [topic, from] }, signal)) {
      if ('item' in answer) yield answer.item as ReadResult;
    }
  }

  async #call<T>(request: AdminRequest): Promise<T> {
    for await (const answer of this.#ask(request)) if ('done' in answer) return answer.done as T;
    throw new AdminError('closed', 'the server went away');
  }

  async *#ask(request: AdminRequest, signal?: StopSignal): AsyncGenerator<AdminAnswer> {
    const socket = await withSocketPath(this.#folder, open);
    if (socket === undefined) throw new AdminError('closed', 'the server went away');
    const stop = (): void => void socket.destroy();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      socket.write(`${JSON.stringify(request)}\n`);
      for await (const line of readLines(socket, ADMIN_ANSWER_BYTES_MAX)) {
        // The other end is the same program.
        const answer = JSON.parse(line) as AdminAnswer;
        if ('error' in answer) throw new AdminError(answer.error.code, answer.error.message);
        yield answer;
      }
    } catch (error) {
      // Stopping destroys the socket, and reading a destroyed socket throws.
      if (signal?.aborted !== true) throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
      socket.destroy();
    }
  }
}
