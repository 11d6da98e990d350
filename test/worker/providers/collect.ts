// Runs a provider's stream to its end, and returns its events and its error, if any.
import {
  ProviderError,
  type Provider,
  type ProviderEvent,
  type ProviderRequest,
} from '../../../src/worker/provider.ts';

export interface Collected {
  readonly events: readonly ProviderEvent[];
  readonly error: ProviderError | undefined;
}

export function requestOf(prompt: string, more: Partial<ProviderRequest> = {}): ProviderRequest {
  const run = { tenant: 'default', sessionId: 's1', runId: 'r1', attempt: 1 };
  return {
    run,
    model: 'some-model',
    messages: [{ role: 'user', content: prompt }],
    signal: new AbortController().signal,
    ...more,
  };
}

/** @throws every error that is no ProviderError */
export async function collect(provider: Provider, request: ProviderRequest): Promise<Collected> {
  const events: ProviderEvent[] = [];
  try {
    for await (const event of provider.stream(request)) events.push(event);
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    return { events, error };
  }
  return { events, error: undefined };
}

export function textIn(events: readonly ProviderEvent[]): string {
  return events.map((event) => (event.type === 'text' ? event.text : '')).join('');
}

/** The next event. @throws when the stream has ended */
export async function nextEvent(stream: AsyncIterator<ProviderEvent>): Promise<ProviderEvent> {
  const step = await stream.next();
  if (step.done === true) throw new Error('the stream ended');
  return step.value;
}

/** A signal that outlives the call, as a worker's may, and the listeners that are left on it. */
export function watchedSignal(): { readonly signal: AbortSignal; readonly listeners: Set<unknown> } {
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type: string, listener: EventListener, options?: AddEventListenerOptions) => {
    listeners.add(listener);
    add(type, listener, options);
  };
  signal.removeEventListener = (type: string, listener: EventListener) => {
    listeners.delete(listener);
    remove(type, listener);
  };
  return { signal, listeners };
}
