// One trace from the prompt to the last token, by the real SDK, through a gateway and workers on one broker.
import { SpanStatusCode, trace } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ProviderError, type Provider } from '../../src/worker/provider.ts';
import { ChatRig, type RigOptions } from '../support/chat-rig.ts';
import { collectSpans } from '../support/collected-spans.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE}-${CALLER}-01`;

interface System {
  readonly h: Harness;
  readonly workers: ChatRig;
}

async function start(options: RigOptions = {}): Promise<System> {
  const h = await startHarness();
  const workers = new ChatRig({ broker: h.broker, clock: h.clock, ...options });
  onTestFinished(() => workers.close());
  return { h, workers };
}

async function prompt({ h }: System, traceparent?: string): Promise<string> {
  const answer = await h.gateway.app.inject({
    method: 'POST',
    url: '/v1/sessions/s1/messages',
    payload: { content: 'a secret question' },
    headers: { authorization: h.bearer('alice'), ...(traceparent === undefined ? {} : { traceparent }) },
  });
  expect(answer.statusCode).toBe(202);
  return answer.json<{ runId: string }>().runId;
}

describe('with an SDK', () => {
  const collected = collectSpans();

  async function spans(name: string, count: number): Promise<readonly ReadableSpan[]> {
    const named = (): ReadableSpan[] => collected().filter((span) => span.name === name);
    await eventually(() => named().length >= count);
    return named();
  }

  it('a prompt and its run are two spans of the caller’s trace, with ids and figures and no text', async () => {
    const system = await start();
    const runId = await prompt(system, TRACEPARENT);
    await system.h.clock.advance(250);
    system.workers.startWorker();
    (await system.workers.model.call(0)).say('a secret ', 'answer ', 'of three').finish();
    const [run] = await spans('holdline.run', 1);
    const [send] = await spans('holdline.send', 1);
    expect(collected()).toHaveLength(2);
    expect([send?.spanContext().traceId, send?.parentSpanContext?.spanId]).toEqual([TRACE, CALLER]);
    expect([run?.spanContext().traceId, run?.parentSpanContext?.spanId]).toEqual([TRACE, send?.spanContext().spanId]);
    expect(send?.attributes).toMatchObject({
      'holdline.session.id': 's1',
      'holdline.run.id': runId,
      'holdline.queued': 0,
    });
    expect(run?.attributes).toMatchObject({
      'holdline.run.id': runId,
      'holdline.attempt': 1,
      'holdline.outcome': 'run.completed',
      'holdline.waited_ms': 250,
      'gen_ai.usage.output_tokens': 2,
      'gen_ai.response.finish_reasons': ['stop'],
    });
    // The span begins with the prompt, so it includes the time in the queue.
    expect(run?.startTime).toEqual(send?.startTime);
    expect(run?.duration).toEqual([0, 250_000_000]);
    expect(JSON.stringify(collected().map((span) => [span.attributes, span.events, span.status]))).not.toContain(
      'secret',
    );
  });

  it.each([3_600_000, -3_600_000])(
    'a span is as long as its work when the wall clock is set meanwhile (by %i ms)',
    async (jumpMs) => {
      const system = await start();
      system.workers.startWorker();
      await prompt(system, TRACEPARENT);
      const call = await system.workers.model.call(0);
      system.h.clock.jumpWall(jumpMs);
      await system.h.clock.advance(250);
      call.say('x').finish();
      const [run] = await spans('holdline.run', 1);
      expect(run?.duration).toEqual([0, 250_000_000]);
    },
  );

  it('every attempt at a run is a span of the same trace when the run is taken over', async () => {
    const system = await start();
    const first = system.workers.startWorker();
    await prompt(system, TRACEPARENT);
    await system.workers.model.call(0);
    await first.close();
    system.workers.startWorker();
    (await system.workers.model.call(1)).say('x').finish();
    const [send] = await spans('holdline.send', 1);
    const attempts = await spans('holdline.run', 2);
    expect(attempts.map((span) => [span.attributes['holdline.attempt'], span.attributes['holdline.outcome']])).toEqual([
      [1, 'released'],
      [2, 'run.completed'],
    ]);
    expect(attempts.map((span) => span.parentSpanContext?.spanId)).toEqual([
      send?.spanContext().spanId,
      send?.spanContext().spanId,
    ]);
  });

  it('the span of a failed run is an error with the run’s code', async () => {
    const system = await start();
    system.workers.startWorker();
    await prompt(system);
    (await system.workers.model.call(0)).fail(new ProviderError('upstream-unreachable', 'no answer'));
    const [run] = await spans('holdline.run', 1);
    expect([run?.status.code, run?.attributes['error.type']]).toEqual([SpanStatusCode.ERROR, 'upstream-unreachable']);
  });

  it('a provider’s spans are part of its run’s span', async () => {
    let seen: string | undefined;
    const provider: Provider = {
      canContinue: false,
      async *stream() {
        seen = trace.getActiveSpan()?.spanContext().spanId;
        yield { type: 'finish', reason: 'stop' };
      },
    };
    const system = await start({ agent: { provider } });
    system.workers.startWorker();
    await prompt(system);
    const [run] = await spans('holdline.run', 1);
    expect(seen).toBe(run?.spanContext().spanId);
  });
});

describe('without an SDK', () => {
  it.each([
    ['the trace that the caller names', TRACEPARENT, TRACEPARENT],
    ['nothing that is no trace', 'x'.repeat(500), undefined],
    ['nothing where none is named', undefined, undefined],
  ])('a gateway hands on %s, for a worker that has one', async (_name, given, kept) => {
    const system = await start();
    await prompt(system, given);
    const loaded = await system.workers.log.load(system.workers.ref);
    expect(loaded?.state.runs[0]?.trace).toBe(kept);
  });
});
