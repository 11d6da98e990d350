// Opens the engine of the storage that the configuration names, and names the flow of each request for its fair order.
import type { BrokerEngine } from '../broker/broker.ts';
import type { FlowPolicyOf } from '../broker/flow-policy.ts';
import { openBroker } from '../broker/open-broker.ts';
import { flowOf, accountOf } from '../session/topic-names.ts';
import type { BrokerConfig } from './config/broker-config.ts';

export interface StorageEvents {
  /** The device under the log failed: the process must end, so that its supervisor restarts it. */
  readonly onFatal: (error: Error) => void;
  /** An error in background work, which no caller receives. */
  readonly onError: (error: unknown) => void;
  /** A problem for the operator, although the storage could be opened. */
  readonly onWarning?: (text: string) => void;
}

/** Default: all flows have the same weight. */
export interface StorageRules {
  readonly policyOf?: FlowPolicyOf;
}

/** @throws BrokerError locked, corrupt, unavailable, invalid-config */
export async function openStorage(
  config: BrokerConfig,
  { onFatal, onError, onWarning = () => undefined }: StorageEvents,
  rules: StorageRules = {},
): Promise<BrokerEngine> {
  if (config.engine === 'memory') return openBroker({ ...config, ...rules, flowOf, accountOf });
  if (config.engine === 'redis') return openBroker({ ...config, ...rules, flowOf, accountOf, onError });
  const { eraseWithinMs, ...log } = config;
  return openBroker({ ...log, ...rules, limits: { eraseWithinMs }, flowOf, accountOf, onFatal, onWarning });
}
