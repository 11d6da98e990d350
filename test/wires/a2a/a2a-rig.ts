// A gateway with the stock A2A client over a real loopback socket, a fake worker, and what a client makes of a stream.
import { Role, TaskState, type SendMessageRequest, type StreamResponse, type Task } from '@a2a-js/sdk';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  type Client,
} from '@a2a-js/sdk/client';
import { FakeRun } from '../../support/gateway-fake-run.ts';
import { startHarness, type Harness, type HarnessOptions } from '../../support/gateway-harness.ts';

export type Binding = 'JSONRPC' | 'HTTP+JSON';

export interface A2aRig {
  readonly h: Harness;
  readonly url: string;
  readonly port: number;
  /** A client of a user's, made from the card of an agent. */
  client(binding?: Binding, as?: string, agent?: string): Promise<Client>;
  /** The worker of a task's run. */
  work(taskId: string): Promise<FakeRun>;
}

export async function startA2a(options?: HarnessOptions): Promise<A2aRig> {
  const h = await startHarness(options);
  const { url, port } = await h.listen();
  return {
    h,
    url,
    port,
    client: (binding, as, agent) => clientOf(h, url, binding, as, agent),
    async work(taskId) {
      const [sessionId = '', runId = ''] = taskId.split('.');
      return FakeRun.take(h, sessionId, runId);
    },
  };
}

/** A client of a user's, made from the card of an agent at `url`. */
export async function clientOf(
  h: Pick<Harness, 'bearer'>,
  url: string,
  binding: Binding = 'JSONRPC',
  as = 'ann',
  agent = 'default',
): Promise<Client> {
  const fetchImpl: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers);
    headers.set('authorization', as.startsWith('Bearer ') ? as : h.bearer(as));
    return fetch(input, { ...init, headers });
  };
  const factory = new ClientFactory({
    transports: [jsonRpc(fetchImpl), rest(fetchImpl)],
    preferredTransports: [binding],
    cardResolver: new DefaultAgentCardResolver(),
  });
  return factory.createFromUrl(`${url}/a2a/${agent}/`);
}

export function jsonRpc(fetchImpl: typeof fetch): JsonRpcTransportFactory {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- the SDK hides the class
  return new JsonRpcTransportFactory({ fetchImpl });
}

function rest(fetchImpl: typeof fetch): RestTransportFactory {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- the SDK hides the class
  return new RestTransportFactory({ fetchImpl });
}

let messages = 0;

/** The parameters of a message. Each has an id of its own unless `messageId` is given. */
export function message(
  text: string,
  { contextId = '', messageId = `m${(messages += 1)}`, taskId = '' } = {},
): SendMessageRequest {
  const part = { content: { $case: 'text' as const, value: text }, metadata: undefined, filename: '', mediaType: '' };
  return {
    tenant: '',
    metadata: undefined,
    configuration: undefined,
    message: {
      messageId,
      contextId,
      taskId,
      role: Role.ROLE_USER,
      parts: [part],
      metadata: undefined,
      extensions: [],
      referenceTaskIds: [],
    },
  };
}

/** What a client holds of one task. */
export class Held {
  task: Task | undefined;
  readonly states: string[] = [];
  readonly artifacts = new Map<string, string>();
  frames = 0;
  ahead: unknown;
  error = '';

  take({ payload }: StreamResponse): void {
    this.frames += 1;
    if ((this.frames === 1) !== (payload?.$case === 'task')) throw new Error('a task is the first frame and no other');
    if (payload?.$case === 'task') {
      this.task = payload.value;
      this.#note(payload.value.status);
      for (const { artifactId, parts } of payload.value.artifacts) this.artifacts.set(artifactId, textOf(parts));
    } else if (payload?.$case === 'statusUpdate') {
      this.#note(payload.value.status);
      this.ahead = payload.value.metadata?.['ahead'] ?? this.ahead;
    } else if (payload?.$case === 'artifactUpdate') {
      const { artifact, append } = payload.value;
      const before = append ? this.artifacts.get(artifact?.artifactId ?? '') : '';
      if (before === undefined) throw new Error('text is appended to an artifact that is not there');
      this.artifacts.set(artifact?.artifactId ?? '', before + textOf(artifact?.parts));
    }
  }

  get id(): string {
    return this.task?.id ?? '';
  }

  /** The artifacts with text, by their ids. */
  get texts(): unknown {
    return Object.fromEntries([...this.artifacts].filter(([, text]) => text !== '').sort());
  }

  get text(): string {
    return [...this.artifacts]
      .sort()
      .map(([, text]) => text)
      .join('');
  }

  #note(status: Task['status']): void {
    this.states.push(stateName(status?.state));
    this.error = textOf(status?.message?.parts);
  }
}

export function stateName(state = TaskState.TASK_STATE_UNSPECIFIED): string {
  return TaskState[state].replace('TASK_STATE_', '');
}

export function textOf(parts: Task['artifacts'][number]['parts'] = []): string {
  return parts.map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('');
}

export function textOfTask({ artifacts }: Task): string {
  return artifacts.map(({ parts }) => textOf(parts)).join('');
}

/** Follows a stream until it ends. `until`: the client goes away there. */
export async function follow(
  stream: AsyncIterable<StreamResponse>,
  held = new Held(),
  until: (held: Held) => boolean = () => false,
): Promise<Held> {
  for await (const frame of stream) {
    held.take(frame);
    if (until(held)) break;
  }
  return held;
}
