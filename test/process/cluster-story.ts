// A chat story whose clients enter by any entrance of a rig; at the end each entrance is read.
import { onTestFailed } from 'vitest';
import type { ClusterRig } from '../support/cluster-rig.ts';
import { ChatStory, type Node } from './chat-story.ts';
import { ClusterEntrance } from './cluster-entrance.ts';
import { seededRandom } from './seeded-random.ts';

export interface ClusterPlay {
  /** The prefix of its session ids. */
  readonly name: string;
  readonly sessions: number;
  readonly agents?: readonly [string, ...string[]];
}

/** Resolves when the faults are over, every answer has come, and the checker found no violation. */
export async function playOnCluster(
  rig: ClusterRig,
  { name, ...play }: ClusterPlay,
  strike: (story: ChatStory) => Promise<void>,
): Promise<ChatStory> {
  onTestFailed(() => console.error(rig.log));
  const random = seededRandom(name);
  const story = new ChatStory({ server: new ClusterEntrance(rig, random), token: rig.token, random, name, ...play });
  await story.play(
    () => strike(story),
    () => doors(rig),
  );
  return story;
}

function doors({ gateways, nginx }: ClusterRig): readonly Node[] {
  return [...gateways.map(({ url }, i) => ({ name: `gateway-${i + 1}`, url })), { name: 'nginx', url: nginx.url }];
}
