// Traces a prompt through every process that works on it: spans, and the trace's name as one line of text that a
// request's header or the log carries. The only file that imports OpenTelemetry, and only its API: the SDK is the
// user's choice, and without a registered SDK all of this does nothing. Spans carry ids, names and figures, never the
// text of a chat. There is one span for a prompt and one for each attempt at its run, and none for a token.
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
  /** A traceparent; undefined to begin a trace here. */
  readonly parent: string | undefined;
  /** ms since 1970. */
  readonly startedAt: number;
  /** When the work begins, on the same clock. Default: `startedAt`. */
  readonly begunAt?: number;
  readonly attributes: Attributes;
}

/** The traceparent of the span that is open around the request, or else of its header. The header is not checked
 *  here: when a span begins with a text that is no traceparent, it begins a new trace. */
export function traceOfRequest(header: string | readonly string[] | undefined): string | undefined {
  const active = trace.getActiveSpan();
  const around = active === undefined ? undefined : traceparentOf(active);
  return around ?? (typeof header === 'string' ? header : undefined);
}

/** The attributes of every span of a session. */
export function sessionAttributes({
  tenant,
  sessionId,
}: {
  readonly tenant: string;
  readonly sessionId: string;
}): Attributes {
  return { 'holdline.tenant': tenant, 'holdline.session.id': sessionId };
}

/** An open span. */
export class WorkSpan {
  readonly #span: Span;

  constructor(span: Span) {
    this.#span = span;
  }

  /** The parent for later work on the same prompt. Undefined without an SDK. */
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

/** Runs `work` inside a span. Spans that begin during the work, such as those of a request to a model, become its
 *  children. Rejects with what `work` rejects with. */
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
    // Measured by the monotonic clock: the wall clock may have been set during the work.
    span.end(new Date(Math.max(startedAt, begunAt) + clock.mono() - begunMono));
  }
}

/** The code of a Holdline error, or the name of another error. Never its message, which may quote a chat. */
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
