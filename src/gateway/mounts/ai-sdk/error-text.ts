// An error as the text that the client shows: it has no other field for the fault of a request.
import type { WireError } from '../../error-map.ts';

export function errorText(error: WireError): string {
  return [error.message, ...schemaFaults(error)].join('\n');
}

/** A body that is not valid names its faults. A message that a route wrote itself names its field already. */
function schemaFaults({ message, details }: WireError): readonly string[] {
  if (!Array.isArray(details) || details.length === 0) return [];
  return details.flatMap(({ path, message: fault }: { path?: string; message?: string }) =>
    path === undefined || fault === undefined || message.includes(fault) ? [] : [`${path}: ${fault}`],
  );
}
