// The only check of who owns a session. A session of another owner is refused like one that does not exist.
import { BrokerError } from '../broker/errors.ts';
import type { CommandLog, LoadedState } from './commands/command-log.ts';
import { SessionError } from './errors.ts';
import type { Principal, SessionRef } from './session-ref.ts';

/** @throws SessionError not-found */
export function requireOwner(principal: Principal, loaded: LoadedState | undefined): LoadedState {
  if (!owns(principal, loaded)) throw new SessionError('not-found');
  return loaded;
}

export function owns(principal: Principal, loaded: LoadedState | undefined): loaded is LoadedState {
  return loaded?.state.owner === principal.user;
}

/** @throws SessionError not-found, contended */
export async function loadOwned(log: CommandLog, principal: Principal, ref: SessionRef): Promise<LoadedState> {
  return requireOwner(principal, await log.load(ref));
}

/** Also requires that the chat is in the epoch of `seen`, in which the caller found offsets: they mean nothing in
 *  another epoch. After a fail-over the chat still exists in a new epoch, so the error is retryable.
 *  @throws SessionError not-found; BrokerError epoch-changed */
export function requireOwnerInEpoch(
  principal: Principal,
  loaded: LoadedState | undefined,
  seen: LoadedState,
): LoadedState {
  const own = requireOwner(principal, loaded);
  if (own.epoch !== seen.epoch) throw new BrokerError('epoch-changed', 'the chat began another life meanwhile');
  return own;
}
