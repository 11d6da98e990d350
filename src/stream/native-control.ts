// The data of control events, the same on both native wires. PROTOCOL §4.
import { encodePosition } from '../broker/position.ts';
import type { ControlEvent } from './wire-encoder.ts';

export function controlJson(event: ControlEvent): string {
  switch (event.type) {
    case 'live':
      return JSON.stringify({ position: event.position === undefined ? null : encodePosition(event.position) });
    case 'reset': {
      const { reason, epoch } = event;
      const at = (offset: number): string => encodePosition({ epoch, offset });
      return JSON.stringify({ reason, epoch, earliest: at(event.earliest), next: at(event.next) });
    }
    case 'reconnect':
      return JSON.stringify({ afterMs: event.afterMs });
    case 'expired':
      return '{}';
    case 'queue':
      return JSON.stringify({ runId: event.runId, ahead: event.ahead });
    default:
      return event satisfies never;
  }
}
