// Every rule of the checker, with the smallest history that keeps it and the smallest that breaks it.
import { describe, expect, it } from 'vitest';
import { checkHistory } from './checker.ts';
import { countText } from './count-prompt.ts';
import { parseHistory, type Observed } from './history.ts';
import {
  codes,
  COMPLETED,
  connect,
  delta,
  events,
  final,
  MESSAGE,
  QUEUED,
  read,
  send,
  SENT,
  STARTED,
  WHOLE,
  type Frame,
} from './small-history.ts';

describe('a history without a violation', () => {
  it('is accepted: live deltas, merged deltas, a resume in the middle, two nodes and a fold', () => {
    const live = [MESSAGE, QUEUED, STARTED, delta(3, 0, '1 '), delta(4, 2, '2 ')];
    const fold: Observed = {
      kind: 'fold',
      session: 's1',
      node: 'n1',
      messages: [
        { messageId: 'm1', role: 'user', content: 'count 3', status: 'sent' },
        { messageId: 'a1', role: 'assistant', content: '1 2 3 ', status: 'completed' },
      ],
    };
    expect(
      codes(
        SENT,
        connect('a'),
        events('a', live),
        { kind: 'end', reader: 'a', reason: 'cut' },
        connect('a', { after: 'e1.4' }),
        events('a', [delta(5, 4, '3 '), COMPLETED]),
        final(),
        final(WHOLE, { node: 'n2' }),
        fold,
      ),
    ).toEqual([]);
  });

  it('is accepted when two processes wrote it as JSON lines', () => {
    const lines = [...SENT, ...final()].map((observed, i) => JSON.stringify({ t: i + 1, ...observed }));
    const texts = [
      lines.filter((_, i) => i % 2 === 0).join('\n'),
      `${lines.filter((_, i) => i % 2 === 1).join('\n')}\n`,
    ];
    expect(checkHistory(parseHistory(texts))).toEqual([]);
  });

  it('is checked in time linear in its length: 50,000 deltas in a moment', () => {
    const count = 50_000;
    const text = countText(count);
    const deltas: Frame[] = [];
    for (let i = 0, at = 0; i < count; i += 1) {
      const token = `${i + 1} `;
      deltas.push(delta(3 + i, at, token));
      at += token.length;
    }
    const content = `count ${count}`;
    const head: Frame[] = [[0, 'message.created', { ...MESSAGE[2], content }], QUEUED, STARTED];
    const end: Frame = [count + 4, 'run.completed', { runId: 'r1', messageId: 'a1', length: text.length }];
    const merged = [...head, delta(count + 2, 0, text), end];
    const before = performance.now();
    expect(
      codes(
        send('1', 'm1', 'e1.0', { content }),
        read('a', [...head, ...deltas, end]),
        final(merged),
        final(merged, { node: 'n2' }),
      ),
    ).toEqual([]);
    expect(performance.now() - before).toBeLessThan(5000);
  });
});

describe('C1: one position', () => {
  it('is refused when two readers saw two events at it', () => {
    const other: Frame = [1, 'run.queued', { runId: 'r1', messageId: 'm1', model: 'another' }];
    expect(codes(SENT, read('a', [MESSAGE, other]), final())).toEqual(['C1']);
  });

  it('may have two deltas that begin at different places, but not two with different text', () => {
    const head = [MESSAGE, QUEUED, STARTED];
    expect(
      codes(
        SENT,
        read('a', [...head, delta(4, 0, '1 2 ')]),
        read('b', [...head, delta(3, 0, '1 '), delta(4, 2, '2 ')]),
        final(),
      ),
    ).toEqual([]);
    expect(
      codes(
        SENT,
        read('a', [...head, delta(4, 0, '1 2 ')]),
        read('b', [...head, delta(3, 0, '1 '), delta(4, 2, '9 ')]),
        final(),
      ),
    ).toContain('C1');
    expect(codes(SENT, read('a', [...head, delta(7, 0, '1 2 3 ')]), final())).toContain('C1');
  });
});

describe('C2: what was acknowledged or seen', () => {
  const two: Frame[] = [
    ...WHOLE,
    [8, 'message.created', { messageId: 'm2', role: 'user', content: 'hi', user: 'u' }],
    [9, 'run.queued', { runId: 'r2', messageId: 'm2' }],
    [10, 'run.cancelled', { runId: 'r2', by: 'u' }],
  ];
  const second = send('2', 'm2', 'e1.8', { content: 'hi', runId: 'r2' });
  const cancel: Observed = { kind: 'cancel', call: '3', session: 's1', runId: 'r2' };

  it('is in the final read: a message', () => {
    expect(codes(SENT, second, cancel, final(two))).toEqual([]);
    expect(codes(SENT, second, final())).toEqual(['C2']);
  });

  it('is in the final read: a stop', () => {
    expect(codes(SENT, second, cancel, { kind: 'cancelled', call: '3', runId: 'r2' }, final(two))).toEqual([]);
    const without: Frame[] = [
      ...two.slice(0, -1),
      [10, 'run.started', { runId: 'r2', messageId: 'a2', attempt: 1 }],
      [11, 'run.failed', { runId: 'r2', error: {} }],
    ];
    expect(codes(SENT, second, cancel, { kind: 'cancelled', call: '3', runId: 'r2' }, final(without))).toEqual(['C2']);
    const lost: Observed = { kind: 'crash', what: 'power', declaresLoss: true };
    expect(codes(SENT, second, cancel, { kind: 'cancelled', call: '3', runId: 'r2' }, lost, final(without))).toEqual(
      [],
    );
  });

  it('is in the final read: an event', () => {
    expect(codes(SENT, send('2', 'm2', undefined, { content: 'hi' }), cancel, read('a', two), final())).toContain('C2');
  });

  it('is in the final read: a text, unless a later restart dropped it', () => {
    const head = [MESSAGE, QUEUED, STARTED];
    const restart: Frame = [4, 'run.restarted', { runId: 'r1', attempt: 2, part: 0, at: 0 }];
    const restarted = [...head, restart, delta(5, 0, '1 2 3 '), COMPLETED];
    expect(
      codes(
        SENT,
        read('a', [...head, delta(3, 0, '1 2 3 '), restart, delta(5, 0, '1 2 3 '), COMPLETED]),
        final(restarted),
      ),
    ).toEqual([]);
    const free = send('1', 'm1', 'e1.0', { content: 'anything' });
    const message: Frame = [0, 'message.created', { ...MESSAGE[2], content: 'anything' }];
    const told = [message, QUEUED, STARTED, delta(5, 0, '1 2 3 '), COMPLETED];
    expect(codes(free, read('a', [message, QUEUED, STARTED, delta(3, 0, '1 9 ')]), final(told))).toEqual(['C2']);
  });

  it('is in the final read: a session', () => {
    expect(codes(SENT, read('x', [], { final: true }))).toContain('C2');
    expect(codes(SENT, { kind: 'remove', call: '2', session: 's1' }, read('x', [], { final: true }))).toEqual([]);
  });
});

describe('C3: positions', () => {
  it('rise on a connection, and over all connections of a reader', () => {
    expect(codes(SENT, connect('a'), events('a', [MESSAGE, QUEUED, QUEUED]), final())).toEqual(['C3']);
    expect(
      codes(
        SENT,
        connect('a'),
        events('a', [MESSAGE, QUEUED]),
        connect('a', { after: 'e1.1' }),
        events('a', [QUEUED]),
        final(),
      ),
    ).toEqual(['C3']);
  });

  it('may start again when a reader connects without a position', () => {
    expect(
      codes(SENT, connect('a'), events('a', [MESSAGE, QUEUED]), connect('a'), events('a', [MESSAGE, QUEUED]), final()),
    ).toEqual([]);
  });
});

describe('C4: what a reader receives next', () => {
  const head = [MESSAGE, QUEUED, STARTED];

  it('joins the text that the reader holds, also after a resume', () => {
    expect(codes(SENT, read('a', [...head, delta(3, 0, '1 '), delta(5, 4, '3 ')]), final())).toEqual(['C4']);
    const resumed = (next: Frame): unknown =>
      codes(
        SENT,
        connect('a'),
        events('a', [...head, delta(3, 0, '1 ')]),
        connect('a', { after: 'e1.3' }),
        events('a', [next, COMPLETED]),
        final(),
      );
    expect(resumed(delta(5, 4, '3 '))).toEqual(['C4']);
    expect(resumed(delta(5, 2, '2 3 '))).toEqual([]);
  });

  it('completes the text by the end of the run', () => {
    expect(codes(SENT, read('a', [...head, delta(4, 0, '1 2 '), COMPLETED]), final())).toEqual(['C4']);
  });

  it('leaves out no event, not even the last one before live', () => {
    expect(codes(SENT, read('a', [MESSAGE, STARTED]), final())).toEqual(['C4']);
    expect(
      codes(SENT, connect('a'), events('a', [MESSAGE]), { kind: 'live', reader: 'a', position: 'e1.1' }, final()),
    ).toEqual(['C4']);
    expect(
      codes(SENT, connect('a'), events('a', [MESSAGE]), { kind: 'live', reader: 'a', position: 'e1.0' }, final()),
    ).toEqual([]);
  });

  it('may begin in the middle when the reader connected with a position there', () => {
    expect(
      codes(SENT, connect('a', { after: 'e1.3' }), events('a', [delta(5, 2, '2 3 '), COMPLETED]), final()),
    ).toEqual([]);
  });

  it('is cut back by a restart, and further by a later restart', () => {
    const restarts: Frame[] = [
      [5, 'run.restarted', { runId: 'r1', attempt: 2, part: 0, at: 4 }],
      [6, 'run.restarted', { runId: 'r1', attempt: 3, part: 0, at: 2 }],
    ];
    const end: Frame[] = [delta(8, 2, '2 3 '), [9, 'run.completed', COMPLETED[2]]];
    const story = [...head, delta(4, 0, '1 '), ...restarts, ...end];
    expect(codes(SENT, read('a', [...head, delta(4, 0, '1 2 3 '), ...restarts, ...end]), final(story))).toEqual([]);
    expect(codes(SENT, read('a', [...head, ...restarts, ...end]), final(story))).toEqual(['C4']);
  });
});

describe('C5: what no client did', () => {
  it('is not seen: a message that was refused, or never sent', () => {
    expect(codes(send('1', 'm1', undefined), { kind: 'unknown', call: '1' }, final())).toEqual([]);
    expect(codes(send('1', 'm1', undefined), { kind: 'refused', call: '1', code: 'busy' }, final())).toEqual(['C5']);
    expect(codes(final())).toContain('C5');
    expect(codes(final(), send('1', 'm1', undefined))).toContain('C5');
  });

  it('is not seen: a stop', () => {
    const stopped: Frame[] = [...WHOLE.slice(0, -1), [7, 'run.cancelled', { runId: 'r1', by: 'u' }]];
    const cancel: Observed = { kind: 'cancel', call: '2', session: 's1' };
    expect(codes(SENT, cancel, final(stopped))).toEqual([]);
    expect(codes(SENT, cancel, { kind: 'refused', call: '2', code: 'no-active-run' }, final(stopped))).toEqual(['C5']);
    expect(codes(SENT, send('2', 'm2', undefined, { onBusy: 'interrupt' }), final(stopped))).toEqual([]);
  });
});

describe('C6: the order of acknowledged sends', () => {
  const early = send('2', 'm2', 'e1.5', { runId: 'r2', content: 'hi' });
  const late = send('1', 'm1', 'e1.0');

  it('is their order in time, where one ended before the other began', () => {
    expect(codes(late, early)).toEqual([]);
    expect(codes(early, late)).toEqual(['C6']);
    const [invoked, answered] = late as [Observed, Observed];
    expect(codes(invoked, early, answered)).toEqual([]);
  });

  it('counts a send from its first try', () => {
    expect(codes(send('0', 'm1', undefined), { kind: 'unknown', call: '0' }, early, late)).toEqual([]);
  });
});

describe('C7: once', () => {
  it('a message is stored once, has one run, and a retry gets the same answer', () => {
    const again: Frame[] = [
      [8, 'message.created', MESSAGE[2]],
      [9, 'run.queued', { runId: 'r2', messageId: 'm1' }],
      [10, 'run.started', { runId: 'r2', attempt: 1 }],
      [11, 'run.failed', { runId: 'r2' }],
    ];
    expect(codes(SENT, send('2', 'm1', 'e1.0'), final())).toEqual([]);
    expect(codes(SENT, final([...WHOLE, ...again]))).toEqual(['C7']);
    expect(codes(SENT, send('2', 'm1', 'e1.8', { runId: 'r2' }))).toEqual(['C7']);
  });

  it('a run starts before its first delta, ends once, and appends nothing after its end', () => {
    expect(codes(SENT, final(WHOLE.filter((frame) => frame !== STARTED)))).toContain('C7');
    expect(codes(SENT, final(WHOLE.slice(0, -1)))).toEqual(['C7']);
    expect(codes(SENT, final([...WHOLE, [8, 'run.completed', COMPLETED[2]]]))).toContain('C7');
    expect(codes(SENT, final([...WHOLE, delta(8, 6, '4 ')]))).toContain('C7');
  });

  it('the attempts of a run rise', () => {
    const head = [MESSAGE, QUEUED, STARTED];
    const restart = (attempt: number): Frame => [3, 'run.restarted', { runId: 'r1', attempt, part: 0, at: 0 }];
    expect(codes(SENT, final([...head, restart(2), delta(5, 0, '1 2 3 '), COMPLETED]))).toEqual([]);
    expect(codes(SENT, final([...head, restart(1), delta(5, 0, '1 2 3 '), COMPLETED]))).toEqual(['C7']);
  });
});

describe('C8: a restart of the stream', () => {
  const removed: Observed[] = [
    { kind: 'remove', call: 'x', session: 's1' },
    { kind: 'removed', call: 'x' },
  ];
  const reset = (reason: string): Observed => ({ kind: 'reset', reader: 'a', reason });
  const reader = [connect('a'), ...events('a', [MESSAGE, QUEUED])];

  it('needs a removal or a declared loss', () => {
    expect(codes(SENT, reader, reset('removed'))).toEqual(['C8']);
    expect(codes(SENT, reader, removed, reset('removed'))).toEqual([]);
    expect(codes(removed, SENT, reader, reset('removed'))).toEqual(['C8']);
    expect(codes(SENT, reader, removed, reset('ahead-of-log'))).toEqual(['C8']);
    expect(codes(SENT, reader, { kind: 'crash', what: 'power', declaresLoss: true }, reset('epoch-changed'))).toEqual(
      [],
    );
    expect(codes(SENT, reader, { kind: 'crash', what: 'power', declaresLoss: false }, reset('epoch-changed'))).toEqual([
      'C8',
    ]);
  });

  it('is excused by a fault that changes epochs, when everything acknowledged keeps its offset', () => {
    const turned: Observed = { kind: 'crash', what: 'fail-over', declaresLoss: false, changesEpoch: true };
    const ahead = [...reader, ...events('a', [STARTED, delta(3, 0, '1 '), delta(4, 2, '2 ')])];
    expect(codes(SENT, ahead, turned, reset('epoch-changed'), final(WHOLE, { epoch: 'e2' }))).toEqual([]);
    expect(codes(SENT, ahead, reset('epoch-changed'), final(WHOLE, { epoch: 'e2' }))).toEqual(['C2', 'C8']);
    const elsewhere = WHOLE.map(([offset, type, data]): Frame => [offset + 1, type, data]);
    expect(codes(SENT, turned, final(elsewhere, { epoch: 'e2' }))).toEqual(['C2']);
  });

  it('includes the end of a stream: an existing session does not end without a removal', () => {
    const gone: Observed = { kind: 'end', reader: 'a', reason: 'removed' };
    expect(codes(connect('a'), gone)).toEqual([]);
    expect(codes(SENT, connect('a'), gone)).toEqual(['C8']);
    expect(codes(SENT, removed, connect('a'), gone)).toEqual([]);
  });

  it('includes a change of the epoch, which a reset must announce', () => {
    const again = send('2', 'm2', 'e2.0', { runId: 'r1', content: 'count 3' });
    const second: Frame[] = [
      [0, 'message.created', { ...MESSAGE[2], messageId: 'm2' }],
      [1, 'run.queued', { runId: 'r1', messageId: 'm2' }],
      ...WHOLE.slice(2),
    ];
    expect(
      codes(
        SENT,
        reader,
        removed,
        reset('epoch-changed'),
        again,
        events('a', second, 'e2'),
        final(second, { epoch: 'e2' }),
      ),
    ).toEqual([]);
    expect(codes(SENT, reader, removed, again, events('a', second, 'e2'), final(second, { epoch: 'e2' }))).toEqual([
      'C8',
    ]);
    expect(codes(SENT, reader, again, final(second, { epoch: 'e2' }))).toEqual(['C2', 'C8']);
  });

  it('includes a send acknowledged in an epoch that had been removed', () => {
    expect(codes(SENT, removed, send('2', 'm2', 'e1.8', { runId: 'r2' }))).toEqual(['C8']);
  });
});

describe('C9: two sessions', () => {
  it('do not share a run', () => {
    const elsewhere = send('2', 'm1', 'e9.0', { session: 's2' });
    expect(codes(SENT, final(), elsewhere, final(WHOLE, { session: 's2', epoch: 'e9' }))).toEqual(['C9']);
  });
});

describe('C10: the final reads', () => {
  it('show the same on every node, however deltas are merged', () => {
    const unmerged = [MESSAGE, QUEUED, STARTED, delta(3, 0, '1 '), delta(5, 2, '2 3 '), COMPLETED];
    expect(codes(SENT, final(), final(unmerged, { node: 'n2' }))).toEqual([]);
    expect(codes(SENT, final(), final(unmerged.slice(0, -1), { node: 'n2' }))).toContain('C10');
    expect(
      codes(SENT, final(), [
        connect('b', { final: true, node: 'n2' }),
        { kind: 'end', reader: 'b', reason: 'removed' },
      ]),
    ).toContain('C10');
  });

  it('agree with the folded messages', () => {
    const fold = (content: string): Observed => ({
      kind: 'fold',
      session: 's1',
      node: 'n1',
      messages: [
        { messageId: 'm1', role: 'user', content: 'count 3', status: 'sent' },
        { messageId: 'a1', role: 'assistant', content, status: 'completed' },
      ],
    });
    expect(codes(SENT, final(), fold('1 2 3 '))).toEqual([]);
    expect(codes(SENT, final(), fold('1 2 '))).toEqual(['C10']);
  });
});

describe('an edit of a prompt', () => {
  const edited: Frame = [2, 'message.edited', { messageId: 'm1', content: 'count 2', user: 'u' }];
  const started: Frame = [3, 'run.started', STARTED[2]];
  const answered: Frame[] = [started, delta(5, 0, '1 2 '), [6, 'run.completed', { ...COMPLETED[2], length: 4 }]];
  const after: Frame[] = [MESSAGE, QUEUED, edited, ...answered];
  const edit: Observed = { kind: 'edit', call: '2', session: 's1', messageId: 'm1', content: 'count 2' };
  const accepted: Observed = { kind: 'edited', call: '2' };
  const fold = (content: string): Observed => ({
    kind: 'fold',
    session: 's1',
    node: 'n1',
    messages: [
      { messageId: 'm1', role: 'user', content, status: 'sent' },
      { messageId: 'a1', role: 'assistant', content: '1 2 ', status: 'completed' },
    ],
  });

  it('is what the model answers, and what a node folds', () => {
    expect(codes(SENT, edit, accepted, read('a', after), final(after), fold('count 2'))).toEqual([]);
    expect(codes(SENT, edit, accepted, final(after), fold('count 3'))).toEqual(['C10']);
    const ignored: Frame[] = [MESSAGE, QUEUED, edited, started, delta(5, 0, '1 2 3 '), COMPLETED];
    expect(codes(SENT, edit, accepted, read('a', ignored), final(ignored))).toEqual(['answer']);
  });

  it('is in the final read once it was acknowledged, and only when a client made it', () => {
    expect(codes(SENT, edit, accepted, final())).toEqual(['C2']);
    expect(codes(SENT, edit, final())).toEqual([]);
    expect(codes(SENT, final(after))).toEqual(['C5']);
    expect(codes(SENT, edit, { kind: 'refused', call: '2', code: 'not-waiting' }, final(after))).toEqual(['C5']);
  });

  it('does not come after the answer has begun', () => {
    const late: Frame[] = [MESSAGE, QUEUED, STARTED, [3, 'message.edited', edited[2]], ...answered.slice(1)];
    expect(codes(SENT, edit, accepted, final(late))).toEqual(['C7']);
  });
});

describe('an answer', () => {
  const answered = (text: string, length = text.length): Frame[] => [
    MESSAGE,
    QUEUED,
    STARTED,
    delta(5, 0, text),
    [7, 'run.completed', { runId: 'r1', messageId: 'a1', length }],
  ];

  it('has exactly the text that its prompt names, and the length that its end gives', () => {
    expect(codes(SENT, final(answered('1 2 3 ')))).toEqual([]);
    expect(codes(SENT, final(answered('1 2 ')))).toEqual(['answer']);
    expect(codes(SENT, final(answered('1 3 2 ')))).toEqual(['answer']);
    expect(codes(SENT, final(answered('1 2 3 ', 5)))).toEqual(['answer']);
  });

  it('is a prefix when its run failed, and does not complete when its prompt must fail', () => {
    const failed: Frame[] = [...answered('1 2 ').slice(0, -1), [7, 'run.failed', { runId: 'r1', error: {} }]];
    expect(codes(SENT, final(failed))).toEqual([]);
    const content = 'fail after 3';
    const message: Frame = [0, 'message.created', { ...MESSAGE[2], content }];
    expect(codes(send('1', 'm1', 'e1.0', { content }), final([message, ...WHOLE.slice(1)]))).toEqual(['answer']);
  });
});

describe('a fault that the world reports', () => {
  it('is a violation of its own rule', () => {
    expect(
      codes(
        { kind: 'stuck', what: 'a run never ended' },
        { kind: 'unopened', what: 'corrupt' },
        { kind: 'fault', what: 'TypeError' },
      ),
    ).toEqual(['fault', 'stuck', 'unopened']);
  });
});
