/** A network that misbehaves on purpose, around the real one, and remembers every head that left the machine. */
import { fromBase64Url, toBase64Url } from '../../crypto/format/bytes.ts';
import { parseHead } from '../../crypto/format/head.ts';
import { sleep, systemEnvironment, type Environment } from '../../src/client/environment.ts';

export interface RoughNetwork {
  environment: Environment;
  /** Decides what happens to a request: `pass`, `lost` (nothing arrives), `unanswered` (it arrives, its answer does not). */
  fate: (method: string, url: URL) => 'pass' | 'lost' | 'unanswered';
  /** Called before each PUT to the bucket is let through. */
  beforePut: (url: URL) => Promise<void> | void;
  /** Distinct heads that were released, by `<epoch>/<head_seq>`. */
  heads: Map<string, Set<string>>;
  /** Requests that were made, by method and last part of the path. */
  puts: number;
  statuses: number[];
  /** Paths of the objects that the bucket took. */
  stored: string[];
}

/** Waits are fifty times as short; the clock is the real one. */
export function roughNetwork(): RoughNetwork {
  const network: RoughNetwork = {
    environment: { ...systemEnvironment, sleep: (ms, signal) => sleep(ms / 50, signal) },
    fate: () => 'pass',
    beforePut: () => undefined,
    heads: new Map(),
    puts: 0,
    statuses: [],
    stored: [],
  };
  const roughFetch: typeof fetch = async (input, init) => {
    const url = new URL(input as string);
    const method = init?.method ?? 'GET';
    if (url.pathname.endsWith('/heads')) remember(network, init?.body as string);
    const fate = network.fate(method, url);
    if (fate === 'lost') throw new TypeError('fetch failed');
    if (method === 'PUT') await network.beforePut(url);
    const answer = await globalThis.fetch(input, init);
    if (method === 'PUT') {
      network.puts += 1;
      network.statuses.push(answer.status);
      if (answer.ok) network.stored.push(url.pathname);
    }
    if (fate === 'pass') return answer;
    await answer.arrayBuffer();
    throw new TypeError('terminated');
  };
  network.environment = { ...network.environment, fetch: roughFetch };
  return network;
}

function remember({ heads }: RoughNetwork, body: string): void {
  const { head } = JSON.parse(body) as { head: string };
  const { epoch, headSeq, body: signed } = parseHead(fromBase64Url(head));
  const key = `${epoch}/${headSeq}`;
  heads.set(key, (heads.get(key) ?? new Set()).add(toBase64Url(signed)));
}
