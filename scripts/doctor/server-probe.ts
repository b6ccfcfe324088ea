import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { Api } from '../../src/client/api.ts';
import { found, type Finding } from './finding.ts';

/** Recorders stamp times; the log's auditor tolerates minutes, and tickets end on the second. */
const GOOD_SKEW_MS = 5_000;
const WORST_SKEW_MS = 10 * 60_000;

/** Health, clock and log of a running server. Throws `unreachable` where nobody answers. */
export async function probeServer(api: Api, monotonic: () => number, now: () => number): Promise<Finding[]> {
  const sentMs = monotonic();
  const service = await api.service();
  const travelMs = monotonic() - sentMs;
  // The answer was written somewhere on the way: half of the way is the best guess, and all of it the error.
  const skewMs = Math.max(0, Math.abs(service.now_ms - (now() - travelMs / 2)) - travelMs / 2);
  const isHealthy = await api.isHealthy();
  return [
    found('server.health', isHealthy, 'the server is healthy: its database and its bucket answer', {
      state: 'bad',
      message: 'the server is not healthy: its database or its bucket does not answer',
      hint: 'GET /health says which',
    }),
    found('server.clock', skewMs < GOOD_SKEW_MS, 'its clock agrees with this machine’s', {
      state: skewMs < WORST_SKEW_MS ? 'weak' : 'bad',
      message: `its clock is ${Math.round(skewMs / 1000)} s away from this machine's`,
      hint: 'one of the two needs NTP',
    }),
    await probeLog(api, service.log),
    found(
      'server.https',
      api.url.startsWith('https:') || /^http:\/\/(127\.|localhost|\[::1\])/.test(api.url),
      'nobody on the way can read tokens',
      { state: 'bad', message: 'plain http to another machine: tokens can be read on the way' },
    ),
  ];
}

async function probeLog(api: Api, { origin, vkey }: { origin: string; vkey: string }): Promise<Finding> {
  const check = 'log.checkpoint';
  const note = await api.checkpoint();
  if (note === undefined) return { check, state: 'bad', message: 'the log has published no checkpoint' };
  try {
    const { size } = await openCheckpoint(note, vkey, origin);
    return { check, state: 'ok', message: `the log ${origin} has published ${size} entries` };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { check, state: 'bad', message: `the log's checkpoint does not verify: ${error.message}` };
  }
}
