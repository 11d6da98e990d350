// Collects the spans of the code under test, as an application with the SDK of OpenTelemetry does.
import { afterEach, beforeEach } from 'vitest';
import { context, propagation, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-node';

/** Call it where the tests are described. Returns a function that gives the spans of the present test that have
 *  ended. */
export function collectSpans(): () => readonly ReadableSpan[] {
  let exporter: InMemorySpanExporter;

  beforeEach(() => {
    exporter = new InMemorySpanExporter();
    new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
  });

  afterEach(() => {
    trace.disable();
    context.disable();
    propagation.disable();
  });

  return () => exporter.getFinishedSpans();
}
