// The agent card of A2A 1.0: where a client sends its requests, and what the agent takes and gives. [A2A §4.4, §8]

export const A2A_VERSION = '1.0';

export interface CardOf {
  readonly agent: string;
  readonly description: string | undefined;
  /** The address of the agent's mount, without a slash at its end. */
  readonly url: string;
  /** The version of this server. */
  readonly version: string;
}

export function agentCard({ agent, description = `The agent ${agent}.`, url, version }: CardOf): unknown {
  const interfaceOf = (protocolBinding: string): unknown => ({ url, protocolBinding, protocolVersion: A2A_VERSION });
  return {
    name: agent,
    description,
    version,
    supportedInterfaces: [interfaceOf('JSONRPC'), interfaceOf('HTTP+JSON')],
    capabilities: { streaming: true, pushNotifications: false, extendedAgentCard: false },
    securitySchemes: { bearer: { httpAuthSecurityScheme: { scheme: 'Bearer', bearerFormat: 'JWT' } } },
    securityRequirements: [{ schemes: { bearer: { list: [] } } }],
    defaultInputModes: ['text/plain', 'image/*'],
    defaultOutputModes: ['text/plain'],
    skills: [{ id: agent, name: agent, description, tags: ['chat'] }],
  };
}
