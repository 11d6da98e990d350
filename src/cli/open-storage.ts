// Opens the engine of the storage that the configuration names, and names the payer of each request for its fair order.
import type { BrokerEngine } from '../broker/broker.ts';
import { openBroker } from '../broker/open-broker.ts';
import { payerOf } from '../session/topic-names.ts';
import type { BrokerConfig } from './config/broker-config.ts';

export interface StorageEvents {
  /** The device under the log failed: the process must end, so that its supervisor restarts it. */
  readonly onFatal: (error: Error) => void;
  /** An error in background work, which no caller receives. */
  readonly onError: (error: unknown) => void;
  /** A problem for the operator, although the storage could be opened. */
  readonly onWarning?: (text: string) => void;
}

/** @throws BrokerError locked, corrupt, unavailable, invalid-config */
export async function openStorage(
  config: BrokerConfig,
  { onFatal, onError, onWarning = () => undefined }: StorageEvents,
): Promise<BrokerEngine> {
  if (config.engine === 'memory') return openBroker({ ...config, flowOf: payerOf });
  if (config.engine === 'redis') return openBroker({ ...config, onError });
  return openBroker({ ...config, flowOf: payerOf, onFatal, onWarning });
}
