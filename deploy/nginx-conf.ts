// nginx.conf for plain processes, from the same template that the containers use.
import { readFileSync } from 'node:fs';

/** One process and no more, so that whoever kills it has killed it. */
export const NGINX_DIRECTIVES = 'daemon off; master_process off;';
/** It says so once it takes connections. */
export const NGINX_READY = /using the "\w+" event method/;

export interface NginxPlaces {
  /** Address and port. */
  readonly listen: string;
  /** Each a host and a port. */
  readonly gateways: readonly string[];
}

export function nginxConf({ listen, gateways }: NginxPlaces): string {
  const values: Readonly<Record<string, string>> = {
    HOLDLINE_LISTEN: listen,
    HOLDLINE_UPSTREAM: gateways.map((gateway) => `server ${gateway} max_fails=0;`).join('\n    '),
    // Asked only for upstreams that are names.
    HOLDLINE_RESOLVER: '127.0.0.1',
  };
  const template = readFileSync(new URL('nginx.conf.template', import.meta.url), 'utf8');
  return template.replaceAll(/\$\{(HOLDLINE_[A-Z]+)\}/g, (whole, name: string) => values[name] ?? whole);
}
