// Plain requests, by autocannon: creating sessions (two durable appends each), and the health probe beside it.
//   npm run build:load && taskset -c 1 node dist-load/load/http.js [seconds=10] [connections=50]
import autocannon from 'autocannon';
import { withServer } from './server-process.ts';

export interface HttpFigures {
  readonly createsPerSecond: number;
  readonly createP50Ms: number;
  readonly createP99Ms: number;
  readonly healthPerSecond: number;
  readonly errors: number;
}

export async function http(seconds: number, connections: number): Promise<HttpFigures> {
  return withServer(async (server) => {
    const url = `http://127.0.0.1:${server.port}`;
    const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' };
    const creates = await autocannon({
      url: `${url}/v1/sessions`,
      method: 'POST',
      headers,
      body: '{}',
      connections,
      duration: seconds,
    });
    const health = await autocannon({ url: `${url}/healthz`, connections, duration: seconds });
    return {
      createsPerSecond: Math.round(creates.requests.average),
      createP50Ms: creates.latency.p50,
      createP99Ms: creates.latency.p99,
      healthPerSecond: Math.round(health.requests.average),
      errors: creates.errors + creates.non2xx + health.errors + health.non2xx,
    };
  });
}

if (import.meta.filename === process.argv[1]) {
  const [seconds = 10, connections = 50] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await http(seconds, connections), null, 2));
}
