// Where a bug can be planted in a world: at the interfaces that its parts are given anyway. Nothing in src knows of it.
import type { BrokerEngine } from '../../src/broker/broker.ts';
import type { LogFiles } from '../../src/broker/log/disk/log-files.ts';
import type { Position } from '../../src/broker/position.ts';
import type { EventSink } from '../../src/stream/event-sink.ts';
import type { WireEncoder } from '../../src/stream/projection.ts';
import type { Provider } from '../../src/worker/provider.ts';
import type { WorldPlan } from './world-plan.ts';

export interface Plant {
  /** Between the engine and the disk, for each life of the engine. */
  files?(inner: LogFiles): LogFiles;
  /** Between everybody and the engine, for each life of the engine. */
  engine?(inner: BrokerEngine): BrokerEngine;
  /** Between a worker and its connection. */
  worker?(inner: BrokerEngine): BrokerEngine;
  model?(inner: Provider): Provider;
  sink?(inner: EventSink): EventSink;
  encoder?(inner: WireEncoder): WireEncoder;
  /** Where a reader says that it is, on its way to the node. */
  resume?(held: Position): Position;
  readonly newEpoch?: () => string;
  /** Of each process. */
  newIds?(): () => string;
  /** For bugs that show only in certain worlds. */
  plan?(plan: WorldPlan): WorldPlan;
  /** The machine's, for each start of the engine. */
  readonly bootId?: string;
}
