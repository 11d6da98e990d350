// The refusal of one field of a request.
import { GatewayError } from '../../gateway-error.ts';

/** @throws GatewayError invalid-request with the name of the field */
export function refuse(param: string, reason: string): never {
  throw new GatewayError('invalid-request', { message: `${param}: ${reason}` });
}
