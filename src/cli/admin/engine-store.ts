// What an operator can use of an engine that this process has opened: the calls of the engine, and the release of dead
// letters, which is several calls of it.
import type { BrokerEngine } from '../../broker/broker.ts';
import { releaseDeadLetter } from '../../broker/dead-letters.ts';
import type { TopicStore } from './admin-protocol.ts';

export function engineStore(broker: BrokerEngine): TopicStore {
  return {
    list: (pattern, page) => broker.list(pattern, page),
    describe: (topics, options) => broker.describe(topics, options),
    read: (topic, from, options) => broker.read(topic, from, options),
    remove: (topic) => broker.remove(topic),
    append: (writes) => broker.append(writes),
    setPaused: broker.setPaused.bind(broker),
    tail: (topic, from, options) => broker.tail(topic, from, options),
    health: () => broker.health(),
    ...(broker.check === undefined ? {} : { check: broker.check.bind(broker) }),
    ...(broker.checkIndex === undefined ? {} : { checkIndex: broker.checkIndex.bind(broker) }),
    ...(broker.damaged === undefined ? {} : { damaged: broker.damaged.bind(broker) }),
    ...(broker.lostParts === undefined ? {} : { lostParts: broker.lostParts.bind(broker) }),
    release: (name) => releaseDeadLetter(broker, name),
  };
}
