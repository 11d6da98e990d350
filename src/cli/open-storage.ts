// From the storage that the configuration names to the engine that is it.
import type { BrokerEngine } from '../broker/broker.ts';
import { openBroker } from '../broker/open-broker.ts';
import type { BrokerConfig } from './broker-config.ts';
import { UsageError } from './usage-error.ts';

/** @throws BrokerError locked, corrupt, invalid-config */
export async function openStorage(config: BrokerConfig, onFatal: (error: Error) => void): Promise<BrokerEngine> {
  if (config.engine === 'memory') return openBroker(config);
  if (config.engine === 'redis') throw new UsageError('this build has no Redis engine');
  return openBroker({ ...config, onFatal });
}
