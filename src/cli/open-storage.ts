// From the storage that the configuration names to the engine that is it.
import type { BrokerEngine } from '../broker/broker.ts';
import { openBroker } from '../broker/open-broker.ts';
import type { BrokerConfig } from './config/broker-config.ts';

export interface StorageEvents {
  /** The device under the log failed: the process must end, so that its supervisor starts it anew. */
  readonly onFatal: (error: Error) => void;
  /** What went wrong where nobody waits for an answer. */
  readonly onError: (error: unknown) => void;
  /** What an operator should look at, although the storage was opened. */
  readonly onWarning?: (text: string) => void;
}

/** @throws BrokerError locked, corrupt, unavailable, invalid-config */
export async function openStorage(
  config: BrokerConfig,
  { onFatal, onError, onWarning = () => undefined }: StorageEvents,
): Promise<BrokerEngine> {
  if (config.engine === 'memory') return openBroker(config);
  if (config.engine === 'redis') return openBroker({ ...config, onError });
  return openBroker({ ...config, onFatal, onWarning });
}
