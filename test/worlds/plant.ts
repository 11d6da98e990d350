// The interfaces of a world at which a bug can be planted: those that its parts receive anyway. Nothing in src knows of
// them.
import type { BrokerEngine } from '../../src/broker/broker.ts';
import type { LogFiles } from '../../src/broker/log/disk/log-files.ts';
import type { Position } from '../../src/broker/position.ts';
import type { EventSink } from '../../src/stream/event-sink.ts';
import type { WireEncoder } from '../../src/stream/projection.ts';
import type { Provider } from '../../src/worker/provider.ts';
import type { WorldPlan } from './world-plan.ts';

export interface Plant {
  /** Between the engine and the disk, for each process run of the engine. */
  files?(inner: LogFiles): LogFiles;
  /** Between the nodes and the engine, for each process run of the engine. */
  engine?(inner: BrokerEngine): BrokerEngine;
  /** Between a worker and its connection. */
  worker?(inner: BrokerEngine): BrokerEngine;
  model?(inner: Provider): Provider;
  sink?(inner: EventSink): EventSink;
  encoder?(inner: WireEncoder): WireEncoder;
  /** The position with which a reader resumes, on its way to the node. */
  resume?(held: Position): Position;
  readonly newEpoch?: () => string;
  /** The source of ids, for each process. */
  newIds?(): () => string;
  /** For bugs that show only in certain worlds. */
  plan?(plan: WorldPlan): WorldPlan;
  /** The boot id of the machine, for each start of the engine. */
  readonly bootId?: string;
}
