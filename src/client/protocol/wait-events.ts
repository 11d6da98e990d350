// The events of a run that waits for a human, as this client reads them [PROTOCOL §4]: their types, and how a frame
// becomes one of them. Undefined: a required field is missing, and the receiver ignores the event.

/** What a run asks for: whether a call may be made, the answer to a question, or the result of a call. */
export type InputKind = 'approval' | 'question' | 'tool';

/** What a run asks for, as it asked. */
export interface InputRequest {
  readonly inputId: string;
  readonly runId: string;
  readonly kind: InputKind;
  /** The call of this answer that it is about. Absent of a question that belongs to no call. */
  readonly toolCallId?: string;
  readonly toolName?: string;
  /** For the reader. */
  readonly message?: string;
  /** JSON Schema of the `value` of a question or the `result` of a tool. */
  readonly schema?: Readonly<Record<string, unknown>>;
  /** The values that a question accepts. */
  readonly choices?: readonly string[];
  readonly createdAt?: string;
  /** The server closes it at this time. */
  readonly expiresAt?: string;
}

/** An answer: `approved` to an approval, `value` to a question, `result` to a tool. `error`, a text, declines a
 *  question or a tool. */
export interface InputAnswer {
  readonly approved?: boolean;
  /** Why an approval was given or refused. */
  readonly reason?: string;
  readonly value?: unknown;
  readonly result?: unknown;
  readonly error?: string;
}

export type InputClosedReason = 'expired' | 'cancelled';

export type WaitEvent =
  | {
      readonly type: 'input.requested';
      readonly runId: string;
      readonly inputId: string;
      readonly request: InputRequest;
    }
  | { readonly type: 'run.waiting'; readonly runId: string }
  | {
      readonly type: 'input.answered';
      readonly runId: string;
      readonly inputId: string;
      readonly answer: InputAnswer;
      readonly by?: string;
      readonly createdAt?: string;
    }
  | {
      readonly type: 'input.closed';
      readonly runId: string;
      readonly inputId: string;
      readonly reason: InputClosedReason;
    }
  | {
      readonly type: 'run.resumed';
      readonly runId: string;
      readonly messageId: string;
      readonly leg: number;
      readonly attempt: number;
    };

type Fields = Readonly<Record<string, unknown>>;

export function parseWaitEvent(type: string, runId: string, fields: Fields): WaitEvent | undefined {
  const { inputId, messageId, leg, attempt, reason } = fields;
  switch (type) {
    case 'input.requested': {
      const request = parseInputRequest({ ...fields, runId });
      return request === undefined ? undefined : { type, runId, inputId: request.inputId, request };
    }
    case 'run.waiting':
      return { type, runId };
    case 'input.answered':
      return typeof inputId === 'string'
        ? { type, runId, inputId, answer: parseAnswer(fields), ...textsOf(fields, ['by', 'createdAt']) }
        : undefined;
    case 'input.closed':
      // A reason of a later version: the input is over, and nobody answered it.
      return typeof inputId === 'string'
        ? { type, runId, inputId, reason: reason === 'expired' ? 'expired' : 'cancelled' }
        : undefined;
    case 'run.resumed':
      return typeof messageId === 'string' && typeof leg === 'number'
        ? { type, runId, messageId, leg, attempt: typeof attempt === 'number' ? attempt : 1 }
        : undefined;
    default:
      return undefined;
  }
}

/** What a run asks for, in an event or in the list of open inputs. */
export function parseInputRequest(fields: Fields): InputRequest | undefined {
  const { inputId, runId, kind, schema, choices } = fields;
  if (typeof inputId !== 'string' || typeof runId !== 'string' || !isInputKind(kind)) return undefined;
  return {
    inputId,
    runId,
    kind,
    ...textsOf(fields, ['toolCallId', 'toolName', 'message', 'createdAt', 'expiresAt']),
    ...(isObject(schema) ? { schema } : {}),
    ...(Array.isArray(choices) ? { choices: choices.filter((choice) => typeof choice === 'string') } : {}),
  };
}

function parseAnswer(fields: Fields): InputAnswer {
  const { approved, value, result } = fields;
  return {
    ...(typeof approved === 'boolean' ? { approved } : {}),
    ...(value === undefined ? {} : { value }),
    ...(result === undefined ? {} : { result }),
    ...textsOf(fields, ['reason', 'error']),
  };
}

function isInputKind(kind: unknown): kind is InputKind {
  return kind === 'approval' || kind === 'question' || kind === 'tool';
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textsOf<K extends string>(fields: Fields, names: readonly K[]): { readonly [P in K]?: string } {
  const texts = names.flatMap((name) => (typeof fields[name] === 'string' ? [[name, fields[name]] as const] : []));
  return Object.fromEntries(texts) as { readonly [P in K]?: string };
}
