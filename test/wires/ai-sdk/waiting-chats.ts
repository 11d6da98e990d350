// The workers of chats whose runs wait, played by the test.
import type { Harness } from '../../support/gateway-harness.ts';
import { eventually } from '../../support/wait-for.ts';
import { WaitNode, type PlayedRun } from '../../support/waiting-run.ts';

const CALL = { kind: 'tool-call', part: 1, toolCallId: 'call-1', toolName: 'pay', executor: 'agent' } as const;
const APPROVAL = { key: 'a', kind: 'approval', toolCallId: 'call-1', toolName: 'pay', message: 'Pay?' } as const;

export class WaitingChats {
  readonly node: WaitNode;

  constructor({ broker, clock }: Pick<Harness, 'broker' | 'clock'>) {
    this.node = new WaitNode(broker, clock);
  }

  /** The queued run of a chat, at its start or behind a wait, with its fence. */
  async begun(sessionId: string): Promise<PlayedRun> {
    const ref = { tenant: 'default', sessionId };
    let runId: string | undefined;
    await eventually(async () => {
      runId = (await this.node.log.load(ref))?.state.runs.find(({ state }) => state === 'queued')?.runId;
      return runId !== undefined;
    });
    return this.node.take(ref, runId ?? '');
  }
}

/** Says a text and a call, and asks for its approval. */
export async function askForApproval(run: PlayedRun, expiresInMs?: number): Promise<void> {
  const { runId, answerId: messageId } = run.run;
  await run.say(0, 0, 'Booking. ');
  await run.write(
    { type: 'part.started', runId, ...CALL },
    { type: 'delta', runId, messageId, part: 1, kind: 'tool-call', at: 0, text: '{"eur":5}' },
  );
  await run.ask({ inputs: [APPROVAL], ...(expiresInMs === undefined ? {} : { expiresInMs }) });
}

/** The leg behind the approval: the result of the call, a text, and the end. */
export async function finishLeg(leg: PlayedRun): Promise<void> {
  await leg.write({ type: 'tool.result', runId: leg.run.runId, toolCallId: 'call-1', result: { paid: true } });
  await leg.say(2, 0, 'Done.');
  await leg.complete();
}
