// One chat of the scripted server: an array of events, its viewers, and the faults in how it is served. The rules for
// resuming are those of PROTOCOL §4 and §5, implemented here independently, so that client and server cannot share a
// mistake.

export interface LoggedEvent {
  readonly event: string;
  readonly data: Record<string, unknown>;
}

export interface SentEvent extends LoggedEvent {
  readonly id?: string;
}

/** The view of one connection on one chat. */
export interface Viewer {
  send(event: SentEvent): void;
  beat(): void;
  end(): void;
  /** Cuts the connection as a network does: without a close. */
  cut(): void;
}

export interface ViewerFaults {
  /** Cuts every connection after this many durable events. */
  cutAfter: number | undefined;
  /** Begins a resume this many events too early. */
  repeat: number;
  /** Merges adjacent deltas of one part during catch-up. */
  merge: boolean;
  /** Offsets that are left out, once each. */
  readonly omit: Set<number>;
  /** Keeps connections open and sends nothing. */
  isSilent: boolean;
}

export class ScriptedChat {
  readonly sessionId: string;
  readonly #faults: ViewerFaults;
  readonly #viewers = new Map<Viewer, number>();
  readonly #posted = new Map<string, { readonly content: string; readonly receipt: Record<string, unknown> }>();
  #events: LoggedEvent[] = [];
  epoch = 'e1';
  /** Called after a message was stored: the test may let a model answer here. */
  onMessage: ((runId: string, content: unknown) => void) | undefined;
  onCancel: ((runId: string) => void) | undefined;

  constructor(sessionId: string, faults: ViewerFaults) {
    this.sessionId = sessionId;
    this.#faults = faults;
  }

  get events(): readonly LoggedEvent[] {
    return this.#events;
  }

  get position(): string {
    return `${this.epoch}.${Math.max(0, this.#events.length - 1)}`;
  }

  get viewerCount(): number {
    return this.#viewers.size;
  }

  summary(): Record<string, unknown> {
    const created = this.#events.find((item) => item.event === 'message.created');
    return { sessionId: this.sessionId, title: textOf(created?.data['content']), createdAt: new Date(0).toISOString() };
  }

  append(event: string, data: Record<string, unknown>): void {
    this.#events.push({ event, data });
    for (const viewer of [...this.#viewers.keys()])
      this.#serve(viewer, this.#events.length - 1, this.#events.slice(-1));
  }

  /** Appends a whole turn: a prompt, its run, the answer in deltas, and its end. */
  appendTurn(name: string, prompt: string, deltas: readonly string[]): void {
    const runId = `run-${name}`;
    const messageId = `answer-${name}`;
    this.append('message.created', {
      messageId: `prompt-${name}`,
      role: 'user',
      content: prompt,
      createdAt: '2026-01-01T00:00:00Z',
    });
    this.append('run.queued', { runId, messageId: `prompt-${name}`, agent: 'default', model: 'm' });
    this.append('run.started', { runId, messageId, attempt: 1, model: 'm' });
    let at = 0;
    for (const text of deltas) {
      this.append('delta', { runId, messageId, part: 0, kind: 'text', at, text });
      at += text.length;
    }
    this.append('run.completed', { runId, messageId, finishReason: 'stop', length: at });
  }

  /** Stores a message once per id, even when the reply is lost. */
  post(body: Record<string, unknown>): Record<string, unknown> | 'conflict' {
    const messageId = textOf(body['messageId']);
    const content = JSON.stringify(body['content']);
    const known = this.#posted.get(messageId);
    if (known !== undefined) return known.content === content ? known.receipt : 'conflict';
    const runId = `run-${messageId}`;
    const { replaces } = body;
    this.append('message.created', {
      messageId,
      role: 'user',
      content: body['content'],
      createdAt: new Date(0).toISOString(),
      ...(replaces === undefined ? {} : { replaces }),
    });
    const receipt = { messageId, runId, position: this.position, queued: 0 };
    this.append('run.queued', { runId, messageId, agent: 'default', model: 'm' });
    this.#posted.set(messageId, { content, receipt });
    this.onMessage?.(runId, body['content']);
    return receipt;
  }

  /** Regenerates once per answer id, like a message. */
  regenerate(messageId: string, body: Record<string, unknown>): Record<string, unknown> {
    const answerId = textOf(body['answerId']);
    const known = this.#posted.get(answerId);
    if (known !== undefined) return known.receipt;
    const runId = `run-${answerId}`;
    this.append('run.queued', { runId, messageId, answerId, agent: 'default', model: 'm', regenerates: true });
    const receipt = { messageId, answerId, runId, position: this.position, queued: 0 };
    this.#posted.set(answerId, { content: '', receipt });
    return receipt;
  }

  isWaiting(messageId: string): boolean {
    return !this.#events.some(
      ({ event, data }) =>
        data['runId'] === `run-${messageId}` && (event === 'run.started' || event === 'run.cancelled'),
    );
  }

  cancel(named: unknown): string | undefined {
    const ended = new Set(this.#events.filter(isTerminal).map((item) => item.data['runId']));
    const open = this.#events.filter((item) => item.event === 'run.queued' && !ended.has(item.data['runId']));
    const runId = typeof named === 'string' ? named : open[0]?.data['runId'];
    if (!open.some((item) => item.data['runId'] === runId) || typeof runId !== 'string') return undefined;
    this.append('run.cancelling', { runId, by: 'user' });
    if (this.onCancel === undefined) this.append('run.cancelled', { runId, by: 'user' });
    else this.onCancel(runId);
    return runId;
  }

  /** Replaces the log, as after a crash that lost some of it. */
  startEpoch(epoch: string, events: readonly LoggedEvent[]): void {
    this.epoch = epoch;
    this.#events = [...events];
  }

  control(event: string, data: Record<string, unknown>): void {
    for (const viewer of this.#viewers.keys()) viewer.send({ event, data });
  }

  beat(): void {
    for (const viewer of this.#viewers.keys()) viewer.beat();
  }

  endAll(): void {
    for (const viewer of [...this.#viewers.keys()]) viewer.end();
  }

  cutAll(): void {
    for (const viewer of [...this.#viewers.keys()]) viewer.cut();
  }

  leave(viewer: Viewer): void {
    this.#viewers.delete(viewer);
  }

  /** Delivers the events after that position, then follows. */
  join(viewer: Viewer, after: string): void {
    this.#viewers.set(viewer, 0);
    const [epoch, offset] = after.split('.');
    let from = 0;
    if (after !== 'earliest' && (epoch !== this.epoch || Number(offset) >= this.#events.length)) {
      const reason = epoch === this.epoch ? 'ahead-of-log' : 'epoch-changed';
      viewer.send({
        event: 'reset',
        data: { reason, epoch: this.epoch, earliest: `${this.epoch}.0`, next: this.position },
      });
    } else if (after !== 'earliest') from = Math.max(0, Number(offset) + 1 - this.#faults.repeat);
    this.#serve(viewer, from, this.#events.slice(from));
    if (this.#viewers.has(viewer) && !this.#faults.isSilent)
      viewer.send({ event: 'live', data: { position: this.position } });
  }

  #serve(viewer: Viewer, from: number, events: readonly LoggedEvent[]): void {
    if (this.#faults.isSilent) return;
    const numbered = events.map((item, index) => ({ ...item, offset: from + index }));
    const kept = numbered.filter((item) => !this.#faults.omit.delete(item.offset));
    for (const item of this.#faults.merge ? mergeDeltas(kept) : kept) {
      const sent = this.#viewers.get(viewer);
      if (sent === undefined) return;
      viewer.send({ id: `${this.epoch}.${item.offset}`, event: item.event, data: item.data });
      this.#viewers.set(viewer, sent + 1);
      if (sent + 1 === this.#faults.cutAfter) {
        this.leave(viewer);
        viewer.cut();
      }
    }
  }
}

export interface NumberedEvent extends LoggedEvent {
  readonly offset: number;
}

/** Merges adjacent deltas of one part into one at the position of the last. `mayMerge` decides for each pair of
 *  neighbours. */
export function mergeDeltas(
  events: readonly NumberedEvent[],
  mayMerge: () => boolean = () => true,
): readonly NumberedEvent[] {
  const merged: NumberedEvent[] = [];
  for (const item of events) {
    const last = merged.at(-1);
    const adjacent =
      last?.event === 'delta' &&
      item.event === 'delta' &&
      last.offset === item.offset - 1 &&
      last.data['runId'] === item.data['runId'] &&
      last.data['part'] === item.data['part'];
    if (adjacent && mayMerge()) {
      const text = String(last.data['text']) + String(item.data['text']);
      merged[merged.length - 1] = { ...item, data: { ...last.data, text } };
    } else merged.push(item);
  }
  return merged;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}

function isTerminal(item: LoggedEvent): boolean {
  return item.event === 'run.completed' || item.event === 'run.failed' || item.event === 'run.cancelled';
}
