// What a list of chats says of a chat, and a request for the chat itself. sessions.ts reads it.
import type { JsonObject } from './events/chat-event.ts';

export interface SessionDetails {
  readonly title?: string;
  readonly metadata?: JsonObject;
}

/** The details that are given, and no other field. */
export function pickDetails({ title, metadata }: SessionDetails): SessionDetails {
  return { ...(title === undefined ? {} : { title }), ...(metadata === undefined ? {} : { metadata }) };
}

export interface SessionSummary extends SessionDetails {
  readonly sessionId: string;
  readonly createdAt: string;
  readonly lastActiveAt: string;
  /** Absent for a chat that does not expire. */
  readonly expiresAt?: string;
  readonly position: string;
  readonly earliest: string;
  readonly activeRun?: {
    readonly runId: string;
    readonly position: string;
    readonly state: string;
    /** Of a waiting run: the ids of its open inputs. */
    readonly inputs?: readonly string[];
  };
  /** Runs that wait behind the active one. */
  readonly queued: number;
  readonly messages: number;
  /** Only of a chat that is in no list. */
  readonly isListed?: false;
  /** A part of the chat cannot be read any more. Fields that are unknown are left out, or zero. */
  readonly damaged?: true;
}
