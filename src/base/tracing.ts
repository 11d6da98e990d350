// How a prompt is followed through every process that has to do with it: spans, and the trace's name as a line of text
// that goes through a request's header or the log. The only file that knows OpenTelemetry, and of it the API alone: the
// SDK is the user's, and where none is registered all of this does nothing. Spans carry ids, names and figures, never
// what anybody said; there is one for a prompt and one for each attempt at its run, and none for a token.
import {
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
} from '@opentelemetry/api';
import type { Clock } from './clock.ts';

/** `00-<trace id>-<span id>-<flags>`. [W3C Trace Context §3.2] */
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

export interface SpanOptions {
  readonly kind: 'producer' | 'consumer';
  /** A traceparent; undefined where a trace begins here. */
  readonly parent: string | undefined;
  /** ms since 1970. */
  readonly startedAt: number;
  /** When the work begins, by the same clock. Default: as it starts. */
  readonly begunAt?: number;
  readonly attributes: Attributes;
}

/** The trace that a request belongs to: of the span that is open around it, or else as its header says. What it says is
 *  not looked at before a span begins there, and what is no traceparent begins a new trace. */
export function traceOfRequest(header: string | readonly string[] | undefined): string | undefined {
  const active = trace.getActiveSpan();
  const around = active === undefined ? undefined : traceparentOf(active);
  return around ?? (typeof header === 'string' ? header : undefined);
}

/** What every span of a session says. */
export function sessionAttributes({
  tenant,
  sessionId,
}: {
  readonly tenant: string;
  readonly sessionId: string;
}): Attributes {
  return { 'holdline.tenant': tenant, 'holdline.session.id': sessionId };
}

/** A span that is open. */
export class WorkSpan {
  readonly #span: Span;

  constructor(span: Span) {
    this.#span = span;
  }

  /** For whoever carries the work on. Undefined where nobody traces. */
  get traceparent(): string | undefined {
    return traceparentOf(this.#span);
  }

  note(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  failed(code: string): void {
    this.#span.setAttribute('error.type', code);
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
  }
}

/** Does the work inside a span of its own: what is called in there and traces itself, such as a request to a model,
 *  becomes part of it. Rejects with what the work rejects with. */
export async function traced<T>(
  name: string,
  options: SpanOptions,
  clock: Clock,
  work: (span: WorkSpan) => Promise<T>,
): Promise<T> {
  const { kind, parent, startedAt, begunAt = startedAt, attributes } = options;
  const begunMono = clock.mono();
  const around = contextOf(parent);
  const started = {
    kind: kind === 'producer' ? SpanKind.PRODUCER : SpanKind.CONSUMER,
    startTime: new Date(startedAt),
    attributes,
  };
  const span = trace.getTracer('holdline').startSpan(name, started, around);
  const workSpan = new WorkSpan(span);
  try {
    return await context.with(trace.setSpan(around, span), () => work(workSpan));
  } catch (error) {
    workSpan.failed(codeOf(error));
    throw error;
  } finally {
    // Not the wall clock, which may have been set meanwhile.
    span.end(new Date(Math.max(startedAt, begunAt) + clock.mono() - begunMono));
  }
}

/** Errors of Holdline name themselves by a code; a message could quote somebody. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

function traceparentOf(span: Span): string | undefined {
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  const { traceId, spanId, traceFlags } = spanContext;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

function contextOf(traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
  });
}
