// To which stage the self time of a profile's frames is attributed.
import { describe, expect, it } from 'vitest';
import { stagesTable, timeByStage, unattributed, type CpuProfile, type Stage } from '../../../load/lab/stages.ts';

/** A profile of one stack, from the root to the frame that has all of the time. */
function profileOf(...stack: readonly (readonly [functionName: string, url?: string])[]): CpuProfile {
  const nodes = stack.map(([functionName, url = ''], i) => ({
    id: i + 1,
    callFrame: { functionName, url },
    children: i + 1 < stack.length ? [i + 2] : [],
  }));
  return { nodes, samples: [nodes.length, nodes.length], timeDeltas: [0, 100, 200] };
}

function stagesOf(profile: CpuProfile): Partial<Record<Stage, number>> {
  return Object.fromEntries(
    timeByStage(profile)
      .filter(({ micros }) => micros > 0)
      .map(({ stage, micros }) => [stage, micros]),
  );
}

const SRC = 'file:///app/dist-load/src';

describe('the stages of a profile', () => {
  it.each<readonly [Stage, string]>([
    ['ingest', 'worker/providers/openai/chat-completions-stream.js'],
    ['writer', 'worker/run/token-writer.js'],
    ['append', 'broker/log/commit/appender.js'],
    ['append', 'broker/redis/commands/append.js'],
    ['commit', 'broker/log/commit/group-commit.js'],
    ['commit', 'broker/log/format/frame-codec.js'],
    ['tail', 'broker/tail/tail-reader.js'],
    ['tail', 'stream/live-topic.js'],
    ['encode', 'wires/native.js'],
    ['encode', 'stream/projected-encoder.js'],
    ['write', 'gateway/event-streams.js'],
    ['other', 'base/clock.js'],
  ])('give %s the time of %s', (stage, file) => {
    expect(stagesOf(profileOf(['(root)'], ['run', `${SRC}/${file}`]))).toEqual({ [stage]: 300 });
  });

  it('give the time of Node and of native functions to the product code that called them', () => {
    const caller = ['send', `${SRC}/gateway/event-streams.js`] as const;
    expect(stagesOf(profileOf(['(root)'], caller, ['write', 'node:_http_outgoing'], ['writev']))).toEqual({
      write: 300,
    });
    const parser = ['onData', `${SRC}/worker/providers/upstream/upstream-call.js`] as const;
    expect(stagesOf(profileOf(['onStreamRead', 'node:internal/stream_base_commons'], parser, ['parse']))).toEqual({
      ingest: 300,
    });
  });

  it('go by the file of Node where no product code called', () => {
    expect(stagesOf(profileOf(['(root)'], ['read', 'node:internal/webstreams/readablestream']))).toEqual({
      ingest: 300,
    });
    expect(stagesOf(profileOf(['(root)'], ['parse', 'file:///app/node_modules/ioredis/built/DataHandler.js']))).toEqual(
      {
        'redis client': 300,
      },
    );
    expect(stagesOf(profileOf(['(root)'], ['onStreamRead', 'node:internal/stream_base_commons']))).toEqual({
      read: 300,
    });
  });

  it('count collections and native code apart, and idle time not at all', () => {
    expect(stagesOf(profileOf(['(root)'], ['(garbage collector)']))).toEqual({ gc: 300 });
    expect(stagesOf(profileOf(['(root)'], ['(program)']))).toEqual({ native: 300 });
    expect(stagesOf(profileOf(['(root)'], ['(idle)']))).toEqual({});
  });

  it('name the functions that no rule knows', () => {
    expect(unattributed(profileOf(['(root)'], ['runMicrotasks']))).toEqual([{ name: 'runMicrotasks ', micros: 300 }]);
  });
});

describe('the table of stages', () => {
  it('has a column for each measurement, sums with the other threads, and no stage that costs nothing', () => {
    const cost = (ingest: number): { stages: { stage: Stage; micros: number }[]; otherThreads: number } => ({
      stages: [
        { stage: 'ingest', micros: ingest },
        { stage: 'encode', micros: 0.04 },
      ],
      otherThreads: 2,
    });
    const lines = stagesTable([
      { title: 'before', cost: cost(24) },
      { title: 'now', cost: cost(10) },
    ]).split('\n');
    expect(lines[0]).toBe('| stage | before | now | |');
    expect(lines[2]).toMatch(/^\| ingest \| 24\.0 \| 10\.0 \| /);
    expect(lines.at(-1)).toBe('| all | 26.0 | 12.0 |  |');
    expect(lines).toHaveLength(5);
  });
});
