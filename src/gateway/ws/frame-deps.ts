// What the frames of a socket work with.
import type { Cursors } from '../../session/stores/cursors.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { Credentials } from '../auth/credentials.ts';
import type { ChatCommands } from '../chat-commands.ts';
import type { EventStreams } from '../event-streams.ts';
import type { ParseBudget } from '../limits/parse-budget.ts';
import type { SessionIds } from '../http/session-ids.ts';

export interface FrameDeps {
  readonly credentials: Credentials;
  readonly commands: ChatCommands;
  readonly streams: EventStreams;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly cursors: Cursors;
  readonly parseBudget: ParseBudget;
  /** What nobody expected, in a frame that was answered with `internal`. */
  readonly onDefect: (error: unknown) => void;
}
