// Parses positions as callers write them: `<epoch>.<offset>`, `earliest` or `latest`. [PROTOCOL §1]
import { parsePosition, type Position } from '../../broker/position.ts';
import { GatewayError } from '../gateway-error.ts';

export type GivenPosition = Position | 'earliest' | 'latest';

/** @throws GatewayError invalid-position */
export function parseGivenPosition(text: string): GivenPosition {
  if (text === 'earliest' || text === 'latest') return text;
  const position = parsePosition(text);
  if (position === undefined) throw new GatewayError('invalid-position');
  return position;
}
